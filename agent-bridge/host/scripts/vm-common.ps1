# What a VM gets before its first start, whether it was made from an image or imported; see common.ps1.

function Assert-NcSettings($in) {
    # Hyper-V makes a folder of this name below the other one.
    if ([string] $in.name -cnotmatch '^[a-z0-9][a-z0-9-]{0,62}\z') { throw ('name: expected letters, digits and hyphens, found "' + $in.name + '"') }
    Assert-NcPath 'folder' $in.folder
    Assert-NcBelow 'seed.path' $in.seed.path @($in.folder)
}

# The VM is off, has no DVD drive, and its first adapter is on its switch.
function Set-NcSettings($vm, $in) {
    # The notes first: whatever fails below, the VM can be told from others.
    Hyper-V\Set-VM -VM $vm -Notes $in.notes -AutomaticCheckpointsEnabled $false
    Hyper-V\Set-VMProcessor -VM $vm -Count ([int] $in.cpuCount)
    if ($null -ne $in.dynamicMemory) {
        Hyper-V\Set-VMMemory -VM $vm -DynamicMemoryEnabled $true -StartupBytes ([long] $in.memoryMb * 1MB) -MinimumBytes ([long] $in.dynamicMemory.minimumMb * 1MB) -MaximumBytes ([long] $in.dynamicMemory.maximumMb * 1MB)
    }
    else { Hyper-V\Set-VMMemory -VM $vm -DynamicMemoryEnabled $false -StartupBytes ([long] $in.memoryMb * 1MB) }
    if ($null -ne $in.secureBoot) { Hyper-V\Set-VMFirmware -VM $vm -EnableSecureBoot On -SecureBootTemplate $in.secureBoot }
    else { Hyper-V\Set-VMFirmware -VM $vm -EnableSecureBoot Off }
    $startAction = switch ($in.startAction) { 'start' { 'Start' } 'startIfRunning' { 'StartIfRunning' } default { 'Nothing' } }
    Hyper-V\Set-VM -VM $vm -AutomaticStartAction $startAction -AutomaticStartDelay ([int] $in.startDelaySeconds)

    $adapter = Hyper-V\Get-VMNetworkAdapter -VM $vm | Select-Object -First 1
    $spoofing = if ($in.macSpoofing) { 'On' } else { 'Off' }
    Hyper-V\Set-VMNetworkAdapter -VMNetworkAdapter $adapter -StaticMacAddress $in.mac -MacAddressSpoofing $spoofing
    if ($null -ne $in.vlan) { Hyper-V\Set-VMNetworkAdapterVlan -VMNetworkAdapter $adapter -Access -VlanId ([int] $in.vlan) }
    else { Hyper-V\Set-VMNetworkAdapterVlan -VMNetworkAdapter $adapter -Untagged }

    [System.IO.File]::WriteAllBytes([string] $in.seed.path, [Convert]::FromBase64String([string] $in.seed.base64))
    Hyper-V\Add-VMDvdDrive -VM $vm -Path $in.seed.path
    $disk = Hyper-V\Get-VMHardDiskDrive -VM $vm | Select-Object -First 1
    Hyper-V\Set-VMFirmware -VM $vm -FirstBootDevice $disk
}

# Gives the script's answer.
function Start-NcVm($vm, $in) {
    Hyper-V\Start-VM -VM $vm
    $now = Hyper-V\Get-VM -Id $vm.Id
    return [ordered] @{ id = [string] $vm.Id; mac = [string] $in.mac; state = Get-NcState $now }
}
