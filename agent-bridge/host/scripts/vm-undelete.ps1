# Back from the set-aside; its adapters stay disconnected and it is not started.
. (Join-Path $PSScriptRoot 'common.ps1')

Invoke-NcScript {
    param($in)
    Assert-NcName 'name' $in.name
    Assert-NcPath 'folder' $in.folder
    $vm = Get-NcVm $in.id
    if (@(Hyper-V\Get-VM | Where-Object { [string] $_.Name -eq [string] $in.name -and $_.Id -ne $vm.Id }).Count -gt 0) { Stop-NcWith 'nameTaken' }
    if (-not (Test-NcSame $vm.Name $in.name)) { Hyper-V\Rename-VM -VM $vm -NewName $in.name }
    if (-not (Test-NcHome $vm $in.folder)) { Hyper-V\Move-VMStorage -VM $vm -DestinationStoragePath $in.folder }
    $vm = Get-NcVm $in.id
    return [ordered] @{ id = [string] $vm.Id; name = [string] $vm.Name; state = Get-NcState $vm; path = [string] $vm.Path }
}
