# Makes and starts a VM from an image; its folder is new and belongs to this job.
# NOT YET RUN ON WINDOWS; see common.ps1.
. (Join-Path $PSScriptRoot 'common.ps1')

Invoke-NcScript {
    param($in)
    . (Join-Path $PSScriptRoot 'seed-iso.ps1')
    if (Test-Path -LiteralPath $in.folder) { throw 'The folder is already there.' }
    New-Item -ItemType Directory -Path $in.folder | Out-Null
    if ($in.differencing) { Hyper-V\New-VHD -Path $in.disk -ParentPath $in.imageDisk -Differencing | Out-Null }
    else { Copy-Item -LiteralPath $in.imageDisk -Destination $in.disk }

    $vm = Hyper-V\New-VM -Name $in.name -Generation 2 -MemoryStartupBytes ([long] $in.memoryMb * 1MB) -VHDPath $in.disk -Path $in.folder -SwitchName $in.switchName
    # The notes first: whatever fails below, the VM can be told from others.
    Hyper-V\Set-VM -VM $vm -Notes $in.notes -AutomaticCheckpointsEnabled $false
    Hyper-V\Set-VMProcessor -VM $vm -Count ([int] $in.cpuCount)
    Hyper-V\Set-VMMemory -VM $vm -DynamicMemoryEnabled $false
    if ($in.secureBoot) { Hyper-V\Set-VMFirmware -VM $vm -EnableSecureBoot On -SecureBootTemplate MicrosoftUEFICertificateAuthority }
    else { Hyper-V\Set-VMFirmware -VM $vm -EnableSecureBoot Off }
    $startAction = switch ($in.startAction) { 'start' { 'Start' } 'startIfRunning' { 'StartIfRunning' } default { 'Nothing' } }
    Hyper-V\Set-VM -VM $vm -AutomaticStartAction $startAction -AutomaticStartDelay ([int] $in.startDelaySeconds)

    $adapter = Hyper-V\Get-VMNetworkAdapter -VM $vm | Select-Object -First 1
    $spoofing = if ($in.macSpoofing) { 'On' } else { 'Off' }
    Hyper-V\Set-VMNetworkAdapter -VMNetworkAdapter $adapter -StaticMacAddress $in.mac -MacAddressSpoofing $spoofing
    if ($null -ne $in.vlan) { Hyper-V\Set-VMNetworkAdapterVlan -VMNetworkAdapter $adapter -Access -VlanId ([int] $in.vlan) }

    $files = [ordered] @{ 'meta-data' = [string] $in.seed.metaData; 'user-data' = [string] $in.seed.userData }
    if ($null -ne $in.seed.networkConfig) { $files['network-config'] = [string] $in.seed.networkConfig }
    New-NcSeedIso $in.seedIso $files
    Hyper-V\Add-VMDvdDrive -VM $vm -Path $in.seedIso
    $disk = Hyper-V\Get-VMHardDiskDrive -VM $vm | Select-Object -First 1
    Hyper-V\Set-VMFirmware -VM $vm -FirstBootDevice $disk

    Hyper-V\Start-VM -VM $vm
    $now = Hyper-V\Get-VM -Id $vm.Id
    return [ordered] @{ id = [string] $vm.Id; mac = [string] $in.mac; state = Get-NcState $now }
}
