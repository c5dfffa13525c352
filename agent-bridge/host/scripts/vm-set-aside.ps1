# Off, unable to start by itself, disconnected, renamed, its files moved. May be repeated.
. (Join-Path $PSScriptRoot 'common.ps1')

Invoke-NcScript {
    param($in)
    Assert-NcName 'newName' $in.newName
    Assert-NcPath 'folder' $in.folder
    $vm = Get-NcVm $in.id
    Stop-NcVm $vm ([int] $in.gracefulSeconds)
    Hyper-V\Set-VM -VM $vm -AutomaticStartAction Nothing
    Hyper-V\Get-VMNetworkAdapter -VM $vm | Hyper-V\Disconnect-VMNetworkAdapter
    if (-not (Test-NcSame $vm.Name $in.newName)) { Hyper-V\Rename-VM -VM $vm -NewName $in.newName }
    if (-not (Test-NcHome $vm $in.folder)) { Hyper-V\Move-VMStorage -VM $vm -DestinationStoragePath $in.folder }
    $vm = Get-NcVm $in.id
    return [ordered] @{ id = [string] $vm.Id; name = [string] $vm.Name; state = Get-NcState $vm; path = [string] $vm.Path; disks = @(Get-NcDisks $vm) }
}
