# The world of the stand-in modules: one JSON file in the folder that NODE_CYCLE_TEST_WORLD names, and a list of the
# calls. Only tests and the lab set the variable; without it every stand-in refuses. Disks are real files.
Set-StrictMode -Version 2.0

$script:WorldFolder = $env:NODE_CYCLE_TEST_WORLD
if (-not $script:WorldFolder) { throw 'These are the stand-in modules of the tests; NODE_CYCLE_TEST_WORLD is not set.' }
$script:WorldUtf8 = New-Object System.Text.UTF8Encoding($false)

function Get-World {
    $text = [System.IO.File]::ReadAllText([System.IO.Path]::Combine($script:WorldFolder, 'world.json'), $script:WorldUtf8)
    $world = ConvertFrom-WorldJson $text
    $file = [System.IO.Path]::Combine($script:WorldFolder, 'guests.json')
    if ([System.IO.File]::Exists($file)) { Add-Guests $world (ConvertFrom-WorldJson ([System.IO.File]::ReadAllText($file, $script:WorldUtf8))) }
    return $world
}

# In the lab guests live: what they say of themselves, and power that a VM lost, are in a file of their own, so that
# neither file has two writers. A word about power counts until a cmdlet changes it.
function Add-Guests($world, $guests) {
    foreach ($vm in @($world.vms)) {
        $guest = Get-Field $guests ([string] $vm.id) $null
        foreach ($adapter in @($vm.adapters)) { $adapter.addresses = @(if ($null -ne $guest) { $guest.addresses }) }
        if ($null -ne $guest -and $guest.power -eq (Get-Field $vm 'power' 0)) { $vm.state = $guest.state }
    }
}

function Set-Power($vm, [string] $state) {
    $vm.state = $state
    Set-Field $vm 'power' ((Get-Field $vm 'power' 0) + 1)
}

# A host whose guests live has the memory that they leave.
function Get-FreeMemoryMb($world) {
    $said = Get-Field $world.host 'memoryFreeMb' $null
    if ($null -ne $said) { return $said }
    $free = $world.host.memoryTotalMb
    foreach ($vm in @($world.vms)) { if ($vm.state -eq 'Running') { $free -= (Get-Field $vm 'memoryStartup' 1GB) / 1MB } }
    return $free
}

# One cmdlet at a time, whichever process it is in: who reads and writes in turns would write back what was before.
function Lock-World {
    $until = [datetime]::UtcNow.AddMinutes(1)
    while ($true) {
        try { return [System.IO.File]::Open([System.IO.Path]::Combine($script:WorldFolder, 'lock'), 'OpenOrCreate', 'ReadWrite', 'None') }
        catch [System.IO.IOException] {
            if ([datetime]::UtcNow -gt $until) { throw }
            [System.Threading.Thread]::Sleep(5)
        }
    }
}

function Save-World($world) {
    $text = ConvertTo-Json -InputObject $world -Depth 20
    $file = [System.IO.Path]::Combine($script:WorldFolder, 'world.json')
    [System.IO.File]::WriteAllText($file + '.new', $text, $script:WorldUtf8)
    [System.IO.File]::Move($file + '.new', $file, $true)
}

# A text that looks like a date must stay a text: notes may be one. createdAt may become one; most worlds have no other.
function ConvertFrom-WorldJson([string] $text) {
    $guarded = [regex]::Replace($text, '(?<!"createdAt": *)"(?=\d{4}-|\\?/Date\()', '"{{text}}')
    $value = ConvertFrom-Json -InputObject $guarded
    if ($guarded.Length -eq $text.Length) { return $value }
    return Unprotect-Text $value
}

function Unprotect-Text($value) {
    if ($value -is [string]) { return $value.Replace('{{text}}', '') }
    if ($value -is [array]) { return , @($value | ForEach-Object { Unprotect-Text $_ }) }
    if ($value -is [System.Management.Automation.PSCustomObject]) {
        foreach ($property in @($value.PSObject.Properties)) { $property.Value = Unprotect-Text $property.Value }
    }
    return $value
}

function Get-Field($object, [string] $name, $otherwise) {
    $property = $object.PSObject.Properties[$name]
    if ($null -eq $property) { return $otherwise }
    return $property.Value
}

function Set-Field($object, [string] $name, $value) {
    if ($object.PSObject.Properties[$name]) { $object.$name = $value }
    else { $object.PSObject.Properties.Add((New-Object System.Management.Automation.PSNoteProperty($name, $value))) }
}

function New-Failure([string] $id, [string] $category, [string] $message, $target) {
    $exception = if ($category -eq 'PermissionDenied') { New-Object System.UnauthorizedAccessException($message) } else { New-Object System.InvalidOperationException($message) }
    return New-Object System.Management.Automation.ErrorRecord($exception, $id, [System.Management.Automation.ErrorCategory] $category, $target)
}

# What every stand-in does: counts the call, keeps the world's faults, and writes its errors as the real one does.
# A compiled cmdlet obeys the caller's $ErrorActionPreference. DnsServer is made of functions, which do not see what a
# script sets: their errors end a script only with -ErrorAction Stop.
$script:Compiled = $true

function Invoke-Act($cmdlet, $bound) {
    $name = $cmdlet.MyInvocation.MyCommand.Name
    $lock = Lock-World
    try { $output = @(Invoke-Locked $cmdlet $bound $name) }
    finally { $lock.Dispose() }
    $output
}

function Invoke-Locked($cmdlet, $bound, [string] $name) {
    $log = [System.IO.Path]::Combine($script:WorldFolder, 'calls.log')
    [System.IO.File]::AppendAllText($log, $name + ' ' + $cmdlet.ParameterSetName + "`n")
    $count = [System.IO.File]::ReadAllLines($log).Length
    $world = Get-World
    $output = @()
    try {
        foreach ($fault in @(Get-Field $world 'faults' @() | Where-Object { $_.at -eq $count -and $_.act -ne 'kill' })) {
            if ($fault.act -eq 'deny') { throw (New-Failure 'AccessDenied' 'PermissionDenied' 'You do not have the required permission to complete this task.' $null) }
            if ($fault.act -eq 'diskFull') { throw (New-Object System.IO.IOException('There is not enough space on the disk.', 0x80070070)) }
            throw (New-Failure 'OperationFailed' 'NotSpecified' ($name + ' failed, as the test wants.') $null)
        }
        if (@(Get-Field $world 'denied' @()) -contains $name) {
            throw (New-Failure 'AccessDenied' 'PermissionDenied' 'You do not have the required permission to complete this task.' $null)
        }
        # All of it before any: what is next in the pipeline changes the world too.
        $output = @(& ('Invoke-' + $name.Replace('-', '')) $world $cmdlet.ParameterSetName $bound)
    }
    catch {
        $wanted = $cmdlet.SessionState.PSVariable.GetValue('ErrorActionPreference')
        if ($script:Compiled -and -not $bound.ContainsKey('ErrorAction') -and [string] $wanted -eq 'Stop') { $cmdlet.ThrowTerminatingError($_) }
        $cmdlet.WriteError($_)
    }
    if (@(Get-Field $world 'faults' @() | Where-Object { $_.at -eq $count -and $_.act -eq 'kill' }).Count -gt 0) {
        [System.Diagnostics.Process]::GetCurrentProcess().Kill()
        [System.Threading.Thread]::Sleep(60000)
    }
    $output
}
