# Power off, after an optional time for an orderly shutdown.
. (Join-Path $PSScriptRoot 'common.ps1')

Invoke-NcScript {
    param($in)
    $vm = Get-NcVm $in.id
    Stop-NcVm $vm ([int] $in.gracefulSeconds)
    return [ordered] @{ id = [string] $vm.Id; state = Get-NcState (Hyper-V\Get-VM -Id $vm.Id) }
}
