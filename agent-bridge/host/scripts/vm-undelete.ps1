# Back from the set-aside; its adapters stay disconnected and it is not started.
# NOT YET RUN ON WINDOWS; see common.ps1.
. (Join-Path $PSScriptRoot 'common.ps1')

Invoke-NcScript {
    param($in)
    $vm = Get-NcVm $in.id
    if (@(Hyper-V\Get-VM | Where-Object { [string] $_.Name -eq [string] $in.name -and $_.Id -ne $vm.Id }).Count -gt 0) { Stop-NcWith 'nameTaken' }
    if ([string] $vm.Name -cne [string] $in.name) { Hyper-V\Rename-VM -VM $vm -NewName $in.name }
    Hyper-V\Move-VMStorage -VM $vm -DestinationStoragePath $in.folder
    $vm = Hyper-V\Get-VM -Id $vm.Id
    return [ordered] @{ id = [string] $vm.Id; name = [string] $vm.Name; state = Get-NcState $vm; path = [string] $vm.Path }
}
