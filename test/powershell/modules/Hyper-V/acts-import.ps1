# What Compare-VM and Import-VM make of an exported VM; see acts.ps1. An export's .vmcx is JSON here: the VM as the world
# has it, its disks relative to the folder that holds "Virtual Machines".

# A VM that is planned is not listed, and its parts can be changed all the same.
function Find-Planned($world, $id) {
    return @(Get-Field $world 'planned' @() | Where-Object { [guid] $_.id -eq $id })
}

function Read-Export($world, [string] $path) {
    Assert-File $path
    $vm = ConvertFrom-WorldJson ([System.IO.File]::ReadAllText($path, $script:WorldUtf8))
    $id = [System.IO.Path]::GetFileNameWithoutExtension($path)
    $folder = [System.IO.Path]::GetDirectoryName([System.IO.Path]::GetDirectoryName($path))
    Set-Field $vm 'id' $id
    Set-Field $vm 'path' $folder
    Set-Field $vm 'state' 'Off'
    Set-Field $vm 'createdAt' ([datetime]::UtcNow.ToString("yyyy-MM-dd'T'HH:mm:ss.fff'Z'"))
    $vm.disks = @(@($vm.disks) | ForEach-Object { [System.IO.Path]::GetFullPath([System.IO.Path]::Combine($folder, $_)) })
    return $vm
}

function New-Report($world, $vm, [string] $path) {
    $report = New-Object VMCompatibilityReport
    $report.VM = New-Machine $vm
    $report.OperationType = 'ImportVirtualMachine'
    $report.Path = $path
    $found = New-Object System.Collections.ArrayList
    if (@($world.vms | Where-Object { [guid] $_.id -eq [guid] $vm.id }).Count -gt 0) {
        [void] $found.Add((New-Incompatibility 33000 'The operation failed because a virtual machine with the same identifier already exists.' $report.VM))
    }
    foreach ($adapter in @(Invoke-GetVMNetworkAdapter $world 'VMObject' @{ VM = $report.VM })) {
        if ($adapter.SwitchName -and @($world.switches) -notcontains $adapter.SwitchName) { [void] $found.Add((New-Incompatibility 33012 ("Could not find Ethernet switch '" + $adapter.SwitchName + "'.") $adapter)) }
    }
    foreach ($disk in @($vm.disks)) {
        if (-not [System.IO.File]::Exists($disk)) { [void] $found.Add((New-Incompatibility 40010 ("Could not find virtual hard disk '" + $disk + "'.") $report.VM)) }
    }
    $report.Incompatibilities = @($found)
    return $report
}

function New-Incompatibility([long] $id, [string] $message, $source) {
    $made = New-Object VMCompatibilityReportIncompatibility
    $made.MessageId = $id
    $made.Message = $message
    $made.Source = $source
    return $made
}

function Invoke-CompareVM($world, $set, $bound) {
    if ($set -eq 'CompatibilityReport') {
        return New-Report $world (Find-Planned $world $bound.CompatibilityReport.VM.Id)[0] $bound.CompatibilityReport.Path
    }
    if ($set -ne 'Register') { throw (New-Failure 'NotSupported' 'NotImplemented' 'The stand-in compares what is registered in place.' $null) }
    $vm = Read-Export $world $bound.Path
    Set-Field $world 'planned' @(@(Get-Field $world 'planned' @() | Where-Object { $_.id -ne $vm.id }) + $vm)
    Save-World $world
    return New-Report $world $vm $bound.Path
}

# What is not settled in the report ends the import; the files stay where they are.
function Invoke-ImportVM($world, $set, $bound) {
    if ($set -eq 'Copy') { throw (New-Failure 'NotSupported' 'NotImplemented' 'The stand-in imports in place.' $null) }
    $report = if ($set -eq 'CompatibilityReport') { New-Report $world (Find-Planned $world $bound.CompatibilityReport.VM.Id)[0] $bound.CompatibilityReport.Path } else { New-Report $world (Read-Export $world $bound.Path) $bound.Path }
    if ($report.Incompatibilities.Count -gt 0) { throw (New-Failure 'OperationFailed' 'InvalidOperation' ('Unable to import virtual machine due to configuration errors. ' + $report.Incompatibilities[0].Message) $report.Path) }
    $vm = if ($set -eq 'CompatibilityReport') { (Find-Planned $world $report.VM.Id)[0] } else { Read-Export $world $bound.Path }
    Set-Field $world 'planned' @(Get-Field $world 'planned' @() | Where-Object { $_.id -ne $vm.id })
    $world.vms = @($world.vms) + $vm
    Save-World $world
    New-Machine $vm
}
