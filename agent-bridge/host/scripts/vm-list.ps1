# All VMs of this host, ours or not.
. (Join-Path $PSScriptRoot 'common.ps1')

function Get-NcView($vm) {
    $adapters = @(Hyper-V\Get-VMNetworkAdapter -VM $vm)
    $first = $adapters | Select-Object -First 1
    $vlan = $null
    $mac = ''
    if ($null -ne $first) {
        $mac = [string] $first.MacAddress
        $setting = Hyper-V\Get-VMNetworkAdapterVlan -VMNetworkAdapter $first
        if ([string] $setting.OperationMode -eq 'Access' -and [int] $setting.AccessVlanId -gt 0) { $vlan = [int] $setting.AccessVlanId }
    }
    $startAction = switch ([string] $vm.AutomaticStartAction) { 'Start' { 'start' } 'StartIfRunning' { 'startIfRunning' } default { 'nothing' } }
    [ordered] @{
        id = [string] $vm.Id
        name = [string] $vm.Name
        state = Get-NcState $vm
        notes = [string] $vm.Notes
        createdAt = Get-NcTime $vm.CreationTime
        addresses = @($adapters | ForEach-Object { $_.IPAddresses } | Where-Object { $_ } | ForEach-Object { [string] $_ })
        mac = $mac
        cpuCount = [int] $vm.ProcessorCount
        memoryMb = [long] ($vm.MemoryStartup / 1MB)
        startAction = $startAction
        startDelaySeconds = [int] $vm.AutomaticStartDelay
        vlan = $vlan
        path = [string] $vm.Path
        disks = @(Get-NcDisks $vm)
    }
}

Invoke-NcScript {
    param($in)
    $found = @(Hyper-V\Get-VM | ForEach-Object {
        $vm = $_
        try { Get-NcView $vm }
        catch {
            # One that went away in the meantime is no failure of the list.
            if ($null -ne (Find-NcVm $vm.Id)) { throw }
        }
    })
    return [ordered] @{ host = [string] $env:COMPUTERNAME; vms = @($found) }
}
