# Shared by all scripts of this folder. ASCII only; Windows PowerShell 5.1 and PowerShell 7.
# Run in the real engine with stand-in modules (test/powershell); NOT YET RUN ON WINDOWS.
#
# A script reads one JSON document from stdin and answers with one framed line; see scripts.ts of the bridge.

Set-StrictMode -Version 2.0
$ErrorActionPreference = 'Stop'
$ProgressPreference = 'SilentlyContinue'
$WarningPreference = 'Continue'

$script:NcUtf8 = New-Object System.Text.UTF8Encoding($false)
$script:NcNonce = ''

class NcFailure : System.Exception {
    [string] $Code
    NcFailure([string] $code) : base($code) { $this.Code = $code }
}

# What warm.ps1 has set when this runs in its session, otherwise null.
function Get-NcWarm { return $ExecutionContext.SessionState.PSVariable.GetValue('NcWarm') }

# [Console]::In would use the OEM code page on 5.1, so the bytes are read.
function Read-NcStdin {
    $stream = [Console]::OpenStandardInput()
    $buffer = New-Object System.IO.MemoryStream
    $stream.CopyTo($buffer)
    return $script:NcUtf8.GetString($buffer.ToArray())
}

function Read-NcInput {
    $warm = Get-NcWarm
    $text = if ($null -ne $warm) { [string] $warm.Text } else { Read-NcStdin }
    if ($text.Length -gt 0 -and [int] $text[0] -eq 0xFEFF) { $text = $text.Substring(1) }
    $request = ConvertFrom-NcJson $text
    if ($request.v -ne 1) { throw 'The request has an unknown version.' }
    $script:NcNonce = [string] $request.nonce
    return $request.input
}

# PowerShell 7 makes a date of every text that looks like one, 5.1 of "/Date(0)/", and a VM's notes may be just that:
# such a text gets a word before it, and loses it again.
function ConvertFrom-NcJson([string] $text) {
    $word = [guid]::NewGuid().ToString('N')
    return Remove-NcWord (ConvertFrom-Json -InputObject ([regex]::Replace($text, '"(?=[0-9]{4}-|\\?/Date\()', '"' + $word))) $word
}

function Remove-NcWord($value, [string] $word) {
    if ($value -is [string]) { return $value.Replace($word, '') }
    if ($value -is [array]) { return , @($value | ForEach-Object { Remove-NcWord $_ $word }) }
    if ($value -is [System.Management.Automation.PSCustomObject]) {
        foreach ($property in @($value.PSObject.Properties)) { $property.Value = Remove-NcWord $property.Value $word }
    }
    return $value
}

# Written as bytes: the console's code page must not touch it.
function Write-NcFrame($value) {
    $json = ConvertTo-Json -InputObject $value -Depth 12 -Compress
    $bytes = $script:NcUtf8.GetBytes("`n##NC-RESULT " + $script:NcNonce + ' ' + $json + "`n")
    $stream = [Console]::OpenStandardOutput()
    $stream.Write($bytes, 0, $bytes.Length)
    $stream.Flush()
}

function Stop-NcWith([string] $code) { throw (New-Object NcFailure($code)) }

# Runs the script's body, frames its value, and ends the process with the agreed exit code; a session goes on.
function Invoke-NcScript([scriptblock] $body) {
    $exitCode = 1
    try {
        $in = Read-NcInput
        # Whatever a cmdlet let slip into the pipeline comes before the answer.
        $value = @(& $body $in) | Select-Object -Last 1
        Write-NcFrame $value
        $exitCode = 0
    }
    catch {
        $code = Get-NcErrorCode $_
        [Console]::Error.WriteLine([string] $_)
        [Console]::Error.WriteLine([string] $_.ScriptStackTrace)
        if ($code -ne '') {
            Write-NcFrame ([ordered] @{ error = $code })
            $exitCode = 3
        }
    }
    $warm = Get-NcWarm
    if ($null -eq $warm) { exit $exitCode }
    $warm.ExitCode = $exitCode
}

# The failures that the bridge can act on. Hyper-V and DNS have exceptions of their own: there the category counts.
function Get-NcErrorCode($record) {
    $failure = $record.Exception
    while ($null -ne $failure) {
        if ($failure -is [NcFailure]) { return $failure.Code }
        if ($failure -is [System.UnauthorizedAccessException]) { return 'denied' }
        # ERROR_HANDLE_DISK_FULL and ERROR_DISK_FULL
        if ($failure -is [System.IO.IOException] -and @(39, 112) -contains ($failure.HResult -band 0xFFFF)) { return 'diskFull' }
        $failure = $failure.InnerException
    }
    if ([string] $record.CategoryInfo.Category -eq 'PermissionDenied') { return 'denied' }
    # ERROR_ACCESS_DENIED, RPC_S_SERVER_UNAVAILABLE and EPT_S_NOT_REGISTERED
    if ($record.FullyQualifiedErrorId -like 'WIN32 5,*') { return 'denied' }
    if ($record.FullyQualifiedErrorId -like 'WIN32 1722,*' -or $record.FullyQualifiedErrorId -like 'WIN32 1753,*') { return 'unreachable' }
    return ''
}

# -eq and -ceq compare as a dictionary does, where a zero-width character or another normal form makes no difference.
function Test-NcSame([string] $one, [string] $other) { return [string]::Equals($one, $other, [StringComparison]::Ordinal) }

# By id only: -Name takes wildcards, and names are not unique. Null when there is none. An error is not "there is
# none": who may not look, or finds the service stopped, must not take a VM for gone. So a second look has to say it.
function Find-NcVm([string] $id) {
    $guid = [guid]::Parse($id)
    try { return Hyper-V\Get-VM -Id $guid -ErrorAction Stop }
    catch { return Hyper-V\Get-VM -ErrorAction Stop | Where-Object { $_.Id -eq $guid } | Select-Object -First 1 }
}

function Get-NcVm([string] $id) {
    $vm = Find-NcVm $id
    if ($null -eq $vm) { Stop-NcWith 'notFound' }
    if ($vm.PSObject.Properties['ReplicationState'] -and [string] $vm.ReplicationState -ne 'Disabled') { Stop-NcWith 'replicated' }
    return $vm
}

function Get-NcState($vm) {
    switch ([string] $vm.State) {
        'Running' { return 'running' }
        'Off' { return 'off' }
        'Starting' { return 'starting' }
        'Saved' { return 'saved' }
        default { return 'other' }
    }
}

function Get-NcTime($time) { return $time.ToUniversalTime().ToString("yyyy-MM-dd'T'HH:mm:ss.fff'Z'", [Globalization.CultureInfo]::InvariantCulture) }

# Every disk of the VM, without differencing parents: those belong to the images.
function Get-NcDisks($vm) {
    return @(Hyper-V\Get-VMHardDiskDrive -VM $vm | ForEach-Object { [string] $_.Path } | Where-Object { $_ -ne '' })
}

# True when the VM's configuration and all its disks are in the folder: a move that was cut short is made again.
function Test-NcHome($vm, [string] $folder) {
    foreach ($path in @([string] $vm.Path) + @(Get-NcDisks $vm)) { if (-not (Test-NcBelow $path @($folder))) { return $false } }
    return $true
}

function Stop-NcVm($vm, [int] $gracefulSeconds) {
    if ([string] $vm.State -eq 'Off') { return }
    if ($gracefulSeconds -gt 0) {
        try { Hyper-V\Stop-VM -VM $vm -Force -AsJob | Out-Null } catch { [Console]::Error.WriteLine([string] $_) }
        $until = [DateTime]::UtcNow.AddSeconds($gracefulSeconds)
        while ([DateTime]::UtcNow -lt $until -and [string] (Hyper-V\Get-VM -Id $vm.Id).State -ne 'Off') { Start-Sleep -Milliseconds 500 }
    }
    if ([string] (Hyper-V\Get-VM -Id $vm.Id).State -ne 'Off') { Hyper-V\Stop-VM -VM $vm -TurnOff -Force }
    if ([string] (Hyper-V\Get-VM -Id $vm.Id).State -ne 'Off') { throw 'The VM is not off.' }
}

# A path as the bridge makes it and Hyper-V prints it: absolute, on a volume or a share, in one spelling. No device, no
# stream of a file, no wildcard, no "..", nothing that Windows would cut off.
function Test-NcPath([string] $path, [string] $separator = [System.IO.Path]::DirectorySeparatorChar) {
    $plain = $path.Replace('/', $separator)
    $start = if ($separator -eq '/') { '^/' } else { '^([A-Za-z]:\\|\\\\[^\\.?]+\\[^\\]+\\)' }
    if ($plain -notmatch $start) { return $false }
    if ($plain -match '[\x00-\x1f"<>|?*]' -or $plain.LastIndexOf(':') -gt 1) { return $false }
    foreach ($part in $plain.TrimEnd($separator[0]).Split($separator[0])) {
        if ($part -match '[. ]\z' -or $part -match '^(con|prn|aux|nul|com[0-9]|lpt[0-9])( *\.|\z)') { return $false }
    }
    return $true
}

# A VM's name: Hyper-V takes more, but nobody can read it then.
function Assert-NcName([string] $field, [string] $name) {
    if ($name.Trim() -eq '' -or $name.Length -gt 100 -or $name -match '[\x00-\x1f\x7f]') { throw ($field + ': expected a name of 1 to 100 printable characters, found "' + $name + '"') }
}

function Assert-NcPath([string] $field, [string] $path) {
    if (-not (Test-NcPath $path)) { throw ($field + ': expected an absolute path, found "' + $path + '"') }
}

function Assert-NcBelow([string] $field, [string] $path, $roots) {
    if (-not (Test-NcBelow $path $roots)) { throw ($field + ': "' + $path + '" is not below ' + (@($roots) -join ' or ')) }
}

# True when the path is a root or below one, and nothing between, the root included, leads elsewhere. What is above a
# root is the administrator's own: on a cluster's volume that is a link.
function Test-NcBelow([string] $path, $roots) {
    if (-not (Test-NcPath $path)) { return $false }
    $separator = [System.IO.Path]::DirectorySeparatorChar
    $full = [System.IO.Path]::GetFullPath($path).TrimEnd($separator)
    foreach ($root in @($roots)) {
        if (-not (Test-NcPath $root)) { continue }
        $base = [System.IO.Path]::GetFullPath([string] $root).TrimEnd($separator)
        $inside = $full.StartsWith($base + $separator, [StringComparison]::OrdinalIgnoreCase)
        if (-not $inside -and -not [string]::Equals($full, $base, [StringComparison]::OrdinalIgnoreCase)) { continue }
        $clear = $true
        $part = $full
        while ($part.Length -ge $base.Length) {
            # A file that is a link is itself removed, not what it points at; a folder leads on.
            if (Test-NcFolderLink $part) { $clear = $false }
            $part = [System.IO.Path]::GetDirectoryName($part)
        }
        if ($clear) { return $true }
    }
    return $false
}

# Null when nothing is there. A link that leads nowhere is there.
function Get-NcAttributes([string] $path) {
    try { return [System.IO.File]::GetAttributes($path) }
    catch {
        $cause = $_.Exception.GetBaseException()
        if ($cause -is [System.IO.FileNotFoundException] -or $cause -is [System.IO.DirectoryNotFoundException]) { return $null }
        throw
    }
}

function Test-NcFolderLink([string] $path) {
    $attributes = Get-NcAttributes $path
    if ($null -eq $attributes) { return $false }
    $both = [System.IO.FileAttributes]::Directory -bor [System.IO.FileAttributes]::ReparsePoint
    return ($attributes -band $both) -eq $both
}

# True when there was a file. Read-only disks, as images are, are files too.
function Remove-NcFile([string] $path) {
    $attributes = Get-NcAttributes $path
    if ($null -eq $attributes -or ($attributes -band [System.IO.FileAttributes]::Directory)) { return $false }
    if (-not ($attributes -band [System.IO.FileAttributes]::ReparsePoint)) { [System.IO.File]::SetAttributes($path, [System.IO.FileAttributes]::Normal) }
    [System.IO.File]::Delete($path)
    return $true
}

# Removes a folder and gives the number of its files. Links in it go, and what they lead to stays: Remove-Item of 5.1
# would go through a junction.
function Remove-NcFolder([string] $path) {
    $attributes = Get-NcAttributes $path
    if ($null -eq $attributes) { return 0 }
    if (-not ($attributes -band [System.IO.FileAttributes]::Directory)) { throw ('Not a folder: ' + $path) }
    $removed = 0
    if (-not (Test-NcFolderLink $path)) {
        foreach ($file in [System.IO.Directory]::GetFiles($path)) { if (Remove-NcFile $file) { $removed += 1 } }
        foreach ($folder in [System.IO.Directory]::GetDirectories($path)) { $removed += Remove-NcFolder $folder }
    }
    [System.IO.Directory]::Delete($path, $false)
    return $removed
}
