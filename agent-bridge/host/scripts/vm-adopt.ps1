# Writes the notes, only when they are still the expected ones.
. (Join-Path $PSScriptRoot 'common.ps1')

Invoke-NcScript {
    param($in)
    $vm = Get-NcVm $in.id
    if (-not (Test-NcSame $vm.Notes $in.expectNotes)) { Stop-NcWith 'setChanged' }
    Hyper-V\Set-VM -VM $vm -Notes $in.notes
    return [ordered] @{ id = [string] $vm.Id; notes = [string] (Hyper-V\Get-VM -Id $vm.Id).Notes }
}
