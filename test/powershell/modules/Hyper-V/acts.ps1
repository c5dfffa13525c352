# What each stand-in cmdlet does to the world. Errors are thrown; Invoke-Act writes them.

# -- finding ---------------------------------------------------------------------------------------------------

function New-NotFound([string] $what, $target) {
    return New-Failure 'InvalidParameter' 'InvalidArgument' ('Hyper-V was unable to find a virtual machine with ' + $what + '.') $target
}

# Names take wildcards, and several VMs may have one.
function Find-ByName($world, $names) {
    foreach ($name in $names) {
        $pattern = New-Object System.Management.Automation.WildcardPattern($name, [System.Management.Automation.WildcardOptions]::IgnoreCase)
        $found = @($world.vms | Where-Object { $pattern.IsMatch($_.name) })
        if ($found.Count -eq 0 -and -not [System.Management.Automation.WildcardPattern]::ContainsWildcardCharacters($name)) { throw (New-NotFound ('name "' + $name + '"') $name) }
        $found
    }
}

function Find-Given($world, $bound) {
    foreach ($key in 'VM', 'VMNetworkAdapter', 'VMDvdDrive', 'VMSnapshot', 'VMFirmware') {
        if (-not $bound.ContainsKey($key)) { continue }
        foreach ($one in $bound[$key]) {
            $id = if ($one -is [VirtualMachine]) { $one.Id } else { $one.VMId }
            $vm = @(@($world.vms | Where-Object { [guid] $_.id -eq $id }) + @(Find-Planned $world $id))
            if ($vm.Count -eq 0) { throw (New-Failure 'ObjectNotFound' 'ObjectNotFound' 'Hyper-V encountered an error trying to access an object because the object was not found. The object might have been deleted.' $one) }
            $vm[0]
        }
        return
    }
    foreach ($key in 'VMName', 'Name') {
        if ($bound.ContainsKey($key)) { Find-ByName $world $bound[$key]; return }
    }
}

function New-Machine($vm) {
    $made = New-Object VirtualMachine
    $made.Id = $vm.id
    $made.Name = $vm.name
    $made.Notes = $vm.notes
    $made.Path = $vm.path
    $made.CreationTime = if ($vm.createdAt -is [datetime]) { $vm.createdAt.ToLocalTime() } else { ([datetime]::Parse($vm.createdAt, [Globalization.CultureInfo]::InvariantCulture, [Globalization.DateTimeStyles]::RoundtripKind)).ToLocalTime() }
    $made.Generation = Get-Field $vm 'generation' 2
    $made.State = $vm.state
    $made.ProcessorCount = Get-Field $vm 'cpuCount' 1
    $made.MemoryStartup = Get-Field $vm 'memoryStartup' 1GB
    $made.MemoryMinimum = Get-Field $vm 'memoryMinimum' 512MB
    $made.MemoryMaximum = Get-Field $vm 'memoryMaximum' 1TB
    $made.DynamicMemoryEnabled = Get-Field $vm 'dynamicMemory' $false
    $made.AutomaticStartAction = Get-Field $vm 'startAction' 'StartIfRunning'
    $made.AutomaticStartDelay = Get-Field $vm 'startDelay' 0
    $made.AutomaticCheckpointsEnabled = Get-Field $vm 'automaticCheckpoints' $true
    $made.ReplicationState = Get-Field $vm 'replication' 'Disabled'
    $made.IsClustered = Get-Field $vm 'isClustered' $false
    $made.Version = '9.0'
    return $made
}

function Assert-Off($vm, [string] $what) {
    if ($vm.state -ne 'Off' -and $vm.state -ne 'Saved') {
        throw (New-Failure 'InvalidState' 'InvalidOperation' ($what + ': the operation cannot be performed while the virtual machine is in its current state.') $vm.name)
    }
}

function Assert-File([string] $path) {
    if (-not [System.IO.File]::Exists($path)) { throw (New-Failure 'ObjectNotFound' 'ObjectNotFound' ('The system cannot find the file specified: ' + $path) $path) }
}

# -- the VM ----------------------------------------------------------------------------------------------------

function Invoke-GetVM($world, $set, $bound) {
    $found = if ($set -eq 'Id' -and $bound.ContainsKey('Id')) {
        $one = @($world.vms | Where-Object { [guid] $_.id -eq $bound.Id })
        if ($one.Count -eq 0) { throw (New-NotFound ('id "' + $bound.Id + '"') $bound.Id) }
        $one
    }
    elseif ($bound.ContainsKey('Name')) { Find-ByName $world $bound.Name }
    else { $world.vms }
    foreach ($vm in @($found)) {
        # A shutdown that was asked for goes on while others look.
        $left = Get-Field $vm 'stoppingReads' $null
        if ($null -ne $left) {
            Set-Field $vm 'stoppingReads' ($left - 1)
            if ($left -le 1) { Set-Power $vm 'Off'; Set-Field $vm 'stoppingReads' $null }
            Save-World $world
        }
        New-Machine $vm
    }
}

function Invoke-NewVM($world, $set, $bound) {
    if ($bound.ContainsKey('VHDPath')) { Assert-File $bound.VHDPath }
    if ($bound.ContainsKey('SwitchName') -and @($world.switches) -notcontains $bound.SwitchName) {
        throw (New-Failure 'InvalidParameter' 'InvalidArgument' ('Hyper-V was unable to find a virtual switch with name "' + $bound.SwitchName + '".') $bound.SwitchName)
    }
    $id = [guid]::NewGuid()
    # The VM's own folder is made below -Path, and it bears the name.
    $folder = [System.IO.Path]::Combine($bound.Path, $bound.Name)
    [void] [System.IO.Directory]::CreateDirectory([System.IO.Path]::Combine($folder, 'Virtual Machines'))
    [System.IO.File]::WriteAllText([System.IO.Path]::Combine($folder, 'Virtual Machines', $id.ToString().ToUpperInvariant() + '.vmcx'), 'configuration')
    $adapter = [ordered] @{ name = 'Network Adapter'; mac = '000000000000'; dynamicMac = $true; spoofing = 'Off'; switch = $bound['SwitchName']; vlanMode = 'Untagged'; vlan = 0; addresses = @() }
    $disks = @(if ($bound.ContainsKey('VHDPath')) { $bound.VHDPath })
    $vm = ConvertFrom-WorldJson (ConvertTo-Json -Depth 8 -InputObject ([ordered] @{
                id = $id.ToString(); name = $bound['Name']; state = 'Off'; notes = ''; path = $folder
                createdAt = [datetime]::UtcNow.ToString("yyyy-MM-dd'T'HH:mm:ss.fff'Z'"); generation = $bound['Generation']
                memoryStartup = $bound['MemoryStartupBytes']; dynamicMemory = $true; disks = $disks; dvds = @(); adapters = @($adapter); snapshots = @()
            }))
    $world.vms = @($world.vms) + $vm
    Save-World $world
    New-Machine $vm
}

function Invoke-SetVM($world, $set, $bound) {
    $fields = @{ Notes = 'notes'; AutomaticStartAction = 'startAction'; AutomaticStartDelay = 'startDelay'; AutomaticCheckpointsEnabled = 'automaticCheckpoints'; ProcessorCount = 'cpuCount'; NewVMName = 'name'; MemoryStartupBytes = 'memoryStartup'; SnapshotFileLocation = 'snapshotFolder'; SmartPagingFilePath = 'pagingFolder' }
    foreach ($vm in @(Find-Given $world $bound)) {
        foreach ($key in $fields.Keys) {
            if (-not $bound.ContainsKey($key)) { continue }
            $value = if ($bound[$key] -is [enum]) { [string] $bound[$key] } else { $bound[$key] }
            Set-Field $vm $fields[$key] $value
        }
    }
    Save-World $world
}

function Invoke-RenameVM($world, $set, $bound) {
    foreach ($vm in @(Find-Given $world $bound)) { $vm.name = $bound.NewName }
    Save-World $world
}

function Invoke-StartVM($world, $set, $bound) {
    foreach ($vm in @(Find-Given $world $bound)) {
        foreach ($disk in @($vm.disks)) {
            Assert-File $disk
            # The golden disk is read-only, and a copy of it stays so unless somebody says otherwise.
            if ((New-Object System.IO.FileInfo($disk)).IsReadOnly) { throw (New-Failure 'OperationFailed' 'NotSpecified' ("'" + $vm.name + "' failed to start. Attachment '" + $disk + "' failed to open because it is read-only.") $vm.name) }
        }
        $free = Get-FreeMemoryMb $world
        if ($free -lt (Get-Field $vm 'memoryStartup' 1GB) / 1MB) { throw (New-Failure 'OutOfMemory' 'ResourceUnavailable' ("'" + $vm.name + "' failed to start. Not enough memory in the system: " + $free + ' MB are free.') $vm.name) }
        Set-Power $vm 'Running'
        foreach ($adapter in @($vm.adapters)) {
            if ($adapter.dynamicMac) { $adapter.mac = '00155D0A0B0C' }
            # The first sight of a guest: nothing, then what it says of itself.
            $adapter.addresses = @(Get-Field $world 'guestAddresses' @())
        }
    }
    Save-World $world
}

function Invoke-StopVM($world, $set, $bound) {
    foreach ($vm in @(Find-Given $world $bound)) {
        if ($vm.state -eq 'Off') { continue }
        if ($vm.state -eq 'Saved') { throw (New-Failure 'InvalidState' 'InvalidOperation' 'The operation cannot be performed while the virtual machine is in its current state.' $vm.name) }
        if ($bound['TurnOff']) { Set-Power $vm 'Off' }
        # A guest without the integration services, or one that hangs, does nothing; the cmdlet would wait for it.
        elseif (Get-Field $vm 'ignoresShutdown' $false) { if (-not $bound['AsJob']) { throw (New-Failure 'OperationFailed' 'NotSpecified' 'The guest did not shut down.' $vm.name) } }
        elseif ($bound['AsJob']) { Set-Field $vm 'stoppingReads' (Get-Field $vm 'stopTakesReads' 1) }
        else { Set-Power $vm 'Off' }
    }
    Save-World $world
    if ($bound['AsJob']) { return [pscustomobject] @{ Id = 1; Name = 'Stop-VM'; State = 'Running' } }
}

# The configuration goes; disks, and folders that are not empty, stay.
function Invoke-RemoveVM($world, $set, $bound) {
    foreach ($vm in @(Find-Given $world $bound)) {
        Assert-Off $vm 'Remove-VM'
        if (-not $bound['Force']) { throw (New-Object System.Management.Automation.PSInvalidOperationException('PowerShell is in NonInteractive mode. Read and Prompt functionality is not available.')) }
        $world.vms = @($world.vms | Where-Object { $_.id -ne $vm.id })
        $file = [System.IO.Path]::Combine($vm.path, 'Virtual Machines', ([guid] $vm.id).ToString().ToUpperInvariant() + '.vmcx')
        if ([System.IO.File]::Exists($file)) { [System.IO.File]::Delete($file) }
    }
    Save-World $world
}

function Invoke-MoveVMStorage($world, $set, $bound) {
    foreach ($vm in @(Find-Given $world $bound)) {
        $to = $bound.DestinationStoragePath
        foreach ($part in 'Virtual Machines', 'Virtual Hard Disks') { [void] [System.IO.Directory]::CreateDirectory([System.IO.Path]::Combine($to, $part)) }
        $vm.disks = @(@($vm.disks) | ForEach-Object {
                $target = [System.IO.Path]::Combine($to, 'Virtual Hard Disks', [System.IO.Path]::GetFileName($_))
                if ($target -ne $_) { [System.IO.File]::Move($_, $target) }
                $target
            })
        $name = ([guid] $vm.id).ToString().ToUpperInvariant() + '.vmcx'
        $from = [System.IO.Path]::Combine($vm.path, 'Virtual Machines', $name)
        if ([System.IO.File]::Exists($from)) { [System.IO.File]::Move($from, [System.IO.Path]::Combine($to, 'Virtual Machines', $name), $true) }
        $vm.path = $to
    }
    Save-World $world
}

# -- its parts -------------------------------------------------------------------------------------------------

function Invoke-SetVMProcessor($world, $set, $bound) {
    foreach ($vm in @(Find-Given $world $bound)) {
        Assert-Off $vm 'Set-VMProcessor'
        if ($bound.ContainsKey('Count')) { Set-Field $vm 'cpuCount' $bound.Count }
    }
    Save-World $world
}

function Invoke-SetVMMemory($world, $set, $bound) {
    foreach ($vm in @(Find-Given $world $bound)) {
        Assert-Off $vm 'Set-VMMemory'
        if ($bound.ContainsKey('DynamicMemoryEnabled')) { Set-Field $vm 'dynamicMemory' $bound.DynamicMemoryEnabled }
        if ($bound.ContainsKey('StartupBytes')) { Set-Field $vm 'memoryStartup' $bound.StartupBytes }
        if ($bound.ContainsKey('MinimumBytes')) { Set-Field $vm 'memoryMinimum' $bound.MinimumBytes }
        if ($bound.ContainsKey('MaximumBytes')) { Set-Field $vm 'memoryMaximum' $bound.MaximumBytes }
        $startup = Get-Field $vm 'memoryStartup' 1GB
        if ($vm.dynamicMemory -and ($startup -lt (Get-Field $vm 'memoryMinimum' 512MB) -or $startup -gt (Get-Field $vm 'memoryMaximum' 1TB))) {
            throw (New-Failure 'OperationFailed' 'InvalidArgument' 'The startup memory must lie between the minimum and the maximum.' $vm.name)
        }
    }
    Save-World $world
}

function Invoke-SetVMFirmware($world, $set, $bound) {
    foreach ($vm in @(Find-Given $world $bound)) {
        if ((Get-Field $vm 'generation' 2) -ne 2) { throw (New-Failure 'InvalidParameter' 'InvalidArgument' 'Only a virtual machine of generation 2 has firmware settings.' $vm.name) }
        if ($bound.ContainsKey('EnableSecureBoot')) { Set-Field $vm 'secureBoot' ([string] $bound.EnableSecureBoot) }
        if ($bound.ContainsKey('SecureBootTemplate')) {
            if (@('MicrosoftWindows', 'MicrosoftUEFICertificateAuthority', 'OpenSourceShieldedVM') -notcontains $bound.SecureBootTemplate) { throw (New-Failure 'InvalidParameter' 'InvalidArgument' 'No such secure boot template.' $bound.SecureBootTemplate) }
            Set-Field $vm 'secureBootTemplate' $bound.SecureBootTemplate
        }
        if ($bound.ContainsKey('FirstBootDevice')) {
            if ($bound.FirstBootDevice.VMId -ne [guid] $vm.id) { throw (New-Failure 'InvalidParameter' 'InvalidArgument' 'The boot device belongs to another virtual machine.' $vm.name) }
            Set-Field $vm 'firstBoot' $bound.FirstBootDevice.GetType().Name
        }
    }
    Save-World $world
}

function Invoke-GetVMNetworkAdapter($world, $set, $bound) {
    foreach ($vm in @(Find-Given $world $bound)) {
        $index = 0
        foreach ($adapter in @($vm.adapters)) {
            $made = New-Object VMNetworkAdapter
            $made.VMId = $vm.id
            $made.VMName = $vm.name
            $made.Id = 'Microsoft:' + $vm.id + '\' + $index
            $made.Name = $adapter.name
            $made.MacAddress = $adapter.mac
            $made.DynamicMacAddressEnabled = $adapter.dynamicMac
            $made.MacAddressSpoofing = $adapter.spoofing
            $made.SwitchName = $adapter.switch
            $made.Connected = [bool] $adapter.switch
            # A guest says nothing at first; then everything that it thinks is its own.
            $waits = Get-Field $vm 'addressReads' 0
            if ($vm.state -eq 'Running' -and $waits -le 0) { $made.IPAddresses = @($adapter.addresses) }
            elseif ($vm.state -eq 'Running') { Set-Field $vm 'addressReads' ($waits - 1); Save-World $world; $made.IPAddresses = @() }
            else { $made.IPAddresses = @() }
            $index += 1
            $made
        }
    }
}

function Select-Adapters($world, $bound) {
    foreach ($given in $bound.VMNetworkAdapter) {
        $vm = @(Find-Given $world @{ VMNetworkAdapter = $given })[0]
        @($vm.adapters)[[int] ($given.Id -replace '^.*\\', '')]
    }
}

function Invoke-SetVMNetworkAdapter($world, $set, $bound) {
    $adapters = if ($set -eq 'ResourceObject') { Select-Adapters $world $bound } else { Find-Given $world $bound | ForEach-Object { $_.adapters } }
    foreach ($adapter in @($adapters)) {
        if ($bound.ContainsKey('StaticMacAddress')) {
            if ($bound.StaticMacAddress -notmatch '^[0-9A-Fa-f]{2}([-:]?[0-9A-Fa-f]{2}){5}$') { throw (New-Failure 'InvalidParameter' 'InvalidArgument' 'The MAC address is not valid.' $bound.StaticMacAddress) }
            $adapter.mac = ($bound.StaticMacAddress -replace '[-:]', '').ToUpperInvariant()
            $adapter.dynamicMac = $false
        }
        if ($bound.ContainsKey('MacAddressSpoofing')) { $adapter.spoofing = [string] $bound.MacAddressSpoofing }
    }
    Save-World $world
}

function Invoke-DisconnectVMNetworkAdapter($world, $set, $bound) {
    $adapters = if ($set -eq 'Obj') { Select-Adapters $world $bound } else { Find-Given $world $bound | ForEach-Object { $_.adapters } }
    foreach ($adapter in @($adapters)) { $adapter.switch = $null }
    Save-World $world
}

function Invoke-ConnectVMNetworkAdapter($world, $set, $bound) {
    $adapters = if ($bound.ContainsKey('VMNetworkAdapter')) { Select-Adapters $world $bound } else { Find-Given $world @{ VMName = $bound.VMName } | ForEach-Object { $_.adapters } }
    if (@($world.switches) -notcontains $bound['SwitchName']) { throw (New-Failure 'InvalidParameter' 'InvalidArgument' 'Hyper-V was unable to find that virtual switch.' $bound['SwitchName']) }
    foreach ($adapter in @($adapters)) { $adapter.switch = $bound.SwitchName }
    Save-World $world
}

function Invoke-GetVMNetworkAdapterVlan($world, $set, $bound) {
    $adapters = if ($set -eq 'ResourceObject') { Select-Adapters $world $bound } else { Find-Given $world $bound | ForEach-Object { $_.adapters } }
    foreach ($adapter in @($adapters)) {
        $made = New-Object VMNetworkAdapterVlanSetting
        $made.OperationMode = $adapter.vlanMode
        $made.AccessVlanId = $adapter.vlan
        $made
    }
}

function Invoke-SetVMNetworkAdapterVlan($world, $set, $bound) {
    $adapters = if ($set -eq 'ResourceObject') { Select-Adapters $world $bound } else { Find-Given $world $bound | ForEach-Object { $_.adapters } }
    foreach ($adapter in @($adapters)) {
        if ($bound['Access']) {
            if ($bound['VlanId'] -lt 1 -or $bound['VlanId'] -gt 4094) { throw (New-Failure 'InvalidParameter' 'InvalidArgument' 'A VLAN is a number from 1 to 4094.' $bound['VlanId']) }
            $adapter.vlanMode = 'Access'
            $adapter.vlan = $bound.VlanId
        }
        if ($bound['Untagged']) { $adapter.vlanMode = 'Untagged'; $adapter.vlan = 0 }
    }
    Save-World $world
}
