# Off, unable to start by itself, disconnected, renamed, its files moved. May be repeated.
# NOT YET RUN ON WINDOWS; see common.ps1.
. (Join-Path $PSScriptRoot 'common.ps1')

Invoke-NcScript {
    param($in)
    $vm = Get-NcVm $in.id
    Stop-NcVm $vm ([int] $in.gracefulSeconds)
    Hyper-V\Set-VM -VM $vm -AutomaticStartAction Nothing
    Hyper-V\Get-VMNetworkAdapter -VM $vm | Hyper-V\Disconnect-VMNetworkAdapter
    if ([string] $vm.Name -cne [string] $in.newName) { Hyper-V\Rename-VM -VM $vm -NewName $in.newName }
    $vm = Hyper-V\Get-VM -Id $vm.Id
    if (-not (Test-NcBelow ([string] $vm.Path) @($in.folder))) { Hyper-V\Move-VMStorage -VM $vm -DestinationStoragePath $in.folder }
    $vm = Hyper-V\Get-VM -Id $vm.Id
    return [ordered] @{ id = [string] $vm.Id; name = [string] $vm.Name; state = Get-NcState $vm; path = [string] $vm.Path; disks = @(Get-NcDisks $vm) }
}
