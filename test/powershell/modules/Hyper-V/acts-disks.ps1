# What the cmdlets of disks, drives, checkpoints and the host itself do to the world; see acts.ps1.

# -- disks and drives ------------------------------------------------------------------------------------------

# With a checkpoint, or while its disk is merged back, the VM writes to an .avhdx.
function Get-DiskPaths($vm) {
    $merging = (Get-Field $vm 'mergeReads' 0) -gt 0 -or @(Get-Field $vm 'snapshots' @()).Count -gt 0
    foreach ($disk in @($vm.disks)) { if ($merging) { $disk -replace '\.vhdx$', '_0001.avhdx' } else { $disk } }
}

function Invoke-GetVMHardDiskDrive($world, $set, $bound) {
    foreach ($vm in @(Find-Given $world $bound)) {
        $location = 0
        foreach ($path in @(Get-DiskPaths $vm)) {
            $made = New-Object HardDiskDrive
            $made.VMId = $vm.id
            $made.VMName = $vm.name
            $made.Path = $path
            $made.ControllerType = 'SCSI'
            $made.ControllerLocation = $location
            $location += 1
            $made
        }
        $left = Get-Field $vm 'mergeReads' 0
        if ($left -gt 0) {
            Set-Field $vm 'mergeReads' ($left - 1)
            if ($left -eq 1) { foreach ($disk in @($vm.disks)) { [System.IO.File]::Delete(($disk -replace '\.vhdx$', '_0001.avhdx')) } }
            Save-World $world
        }
    }
}

function Invoke-GetVMDvdDrive($world, $set, $bound) {
    foreach ($vm in @(Find-Given $world $bound)) {
        $location = 1
        foreach ($path in @($vm.dvds)) {
            $made = New-Object DvdDrive
            $made.VMId = $vm.id
            $made.VMName = $vm.name
            $made.Path = $path
            $made.ControllerLocation = $location
            $location += 1
            $made
        }
    }
}

function Invoke-AddVMDvdDrive($world, $set, $bound) {
    if ($bound['Path']) { Assert-File $bound.Path }
    foreach ($vm in @(Find-Given $world $bound)) { $vm.dvds = @($vm.dvds) + $bound['Path'] }
    Save-World $world
}

function Invoke-SetVMDvdDrive($world, $set, $bound) {
    if ($bound['Path']) { Assert-File $bound.Path }
    $vms = @(Find-Given $world $bound)
    for ($i = 0; $i -lt $vms.Count; $i += 1) {
        $location = if ($set -eq 'Object') { @($bound.VMDvdDrive)[$i].ControllerLocation } else { 1 }
        $list = @($vms[$i].dvds)
        if ($bound.ContainsKey('Path')) { $list[$location - 1] = if ($bound.Path) { $bound.Path } else { $null } }
        $vms[$i].dvds = $list
    }
    Save-World $world
}

function Invoke-RemoveVMDvdDrive($world, $set, $bound) {
    foreach ($vm in @(Find-Given $world $bound)) { $vm.dvds = @() }
    Save-World $world
}

function Invoke-NewVHD($world, $set, $bound) {
    foreach ($path in $bound.Path) {
        if ([System.IO.File]::Exists($path)) { throw (New-Failure 'ResourceExists' 'ResourceExists' ('The file exists: ' + $path) $path) }
        if ($set -eq 'Differencing') {
            Assert-File $bound.ParentPath
            [System.IO.File]::WriteAllText($path, 'differencing ' + $bound.ParentPath)
        }
        else { [System.IO.File]::WriteAllText($path, 'dynamic') }
        Get-DiskAt $path
    }
}

function Get-DiskAt([string] $path) {
    Assert-File $path
    $text = [System.IO.File]::ReadAllText($path)
    $made = New-Object VirtualHardDisk
    $made.Path = $path
    $made.VhdFormat = 'VHDX'
    $made.VhdType = if ($text.StartsWith('differencing ')) { 'Differencing' } else { 'Dynamic' }
    $made.ParentPath = if ($text.StartsWith('differencing ')) { $text.Substring(13) } else { '' }
    $made.FileSize = (New-Object System.IO.FileInfo($path)).Length
    $made.Size = 40GB
    return $made
}

function Invoke-GetVHD($world, $set, $bound) {
    if ($bound.ContainsKey('Path')) { foreach ($path in $bound.Path) { Get-DiskAt $path } }
    elseif ($bound.ContainsKey('VMId')) {
        foreach ($id in $bound.VMId) {
            $vm = @($world.vms | Where-Object { [guid] $_.id -eq $id })
            if ($vm.Count -eq 0) { throw (New-NotFound ('id "' + $id + '"') $id) }
            foreach ($path in @(Get-DiskPaths $vm[0])) { Get-DiskAt $path }
        }
    }
}

function Invoke-GetVMSnapshot($world, $set, $bound) {
    foreach ($vm in @(Find-Given $world $bound)) {
        foreach ($snapshot in @(Get-Field $vm 'snapshots' @())) {
            $made = New-Object VMSnapshot
            $made.Id = $snapshot.id
            $made.Name = $snapshot.name
            $made.VMId = $vm.id
            $made
        }
    }
}

# The cmdlet is done before the merge is.
function Invoke-RemoveVMSnapshot($world, $set, $bound) {
    foreach ($vm in @(Find-Given $world $bound)) {
        $gone = if ($bound.ContainsKey('VMSnapshot')) { @($bound.VMSnapshot | ForEach-Object { [string] $_.Id }) } else { @($vm.snapshots | ForEach-Object { $_.id }) }
        $vm.snapshots = @(@($vm.snapshots) | Where-Object { $gone -notcontains $_.id })
        if (@($vm.snapshots).Count -eq 0) { Set-Field $vm 'mergeReads' (Get-Field $vm 'mergeTakesReads' 0) }
    }
    Save-World $world
}

# -- the host --------------------------------------------------------------------------------------------------

function Invoke-GetVMSwitch($world, $set, $bound) {
    foreach ($name in @($world.switches)) {
        if ($bound.ContainsKey('Name') -and @($bound.Name) -notcontains $name) { continue }
        $made = New-Object VMSwitch
        $made.Name = $name
        $made.SwitchType = 'External'
        $made
    }
}

function Invoke-GetVMHost($world, $set, $bound) {
    $made = New-Object VMHost
    $made.ComputerName = $env:COMPUTERNAME
    $made.MemoryCapacity = $world.host.memoryTotalMb * 1MB
    $made.LogicalProcessorCount = 8
    return $made
}
