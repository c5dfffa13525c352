# Shared by all scripts of this folder. ASCII only; Windows PowerShell 5.1 and PowerShell 7.
# NOT YET RUN ON WINDOWS: written from the documentation of the cmdlets, to be tested on a Hyper-V host.
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

# [Console]::In would use the OEM code page on 5.1, so the bytes are read.
function Read-NcInput {
    $stream = [Console]::OpenStandardInput()
    $buffer = New-Object System.IO.MemoryStream
    $stream.CopyTo($buffer)
    $text = $script:NcUtf8.GetString($buffer.ToArray())
    if ($text.Length -gt 0 -and [int] $text[0] -eq 0xFEFF) { $text = $text.Substring(1) }
    $request = ConvertFrom-Json -InputObject $text
    if ($request.v -ne 1) { throw 'The request has an unknown version.' }
    $script:NcNonce = [string] $request.nonce
    return $request.input
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

# Runs the script's body, frames its value, and ends the process with the agreed exit code.
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
        $failure = $_.Exception
        while ($null -ne $failure -and -not ($failure -is [NcFailure])) { $failure = $failure.InnerException }
        [Console]::Error.WriteLine([string] $_)
        [Console]::Error.WriteLine([string] $_.ScriptStackTrace)
        if ($null -ne $failure) {
            Write-NcFrame ([ordered] @{ error = $failure.Code })
            $exitCode = 3
        }
        elseif ($_.Exception -is [System.UnauthorizedAccessException]) {
            Write-NcFrame ([ordered] @{ error = 'denied' })
            $exitCode = 3
        }
    }
    exit $exitCode
}

# By id only: -Name takes wildcards, and names are not unique.
function Get-NcVm([string] $id) {
    $guid = [guid]::Parse($id)
    $vm = Hyper-V\Get-VM -Id $guid -ErrorAction SilentlyContinue
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

# True when the file's own path, links resolved, is below one of the roots.
function Test-NcBelow([string] $path, $roots) {
    $full = [System.IO.Path]::GetFullPath($path)
    $part = $full
    while ($part) {
        if (Test-Path -LiteralPath $part) {
            $item = Get-Item -LiteralPath $part -Force
            # A junction or link anywhere on the way could lead out of the root.
            if ($item.Attributes -band [System.IO.FileAttributes]::ReparsePoint) { return $false }
        }
        $part = [System.IO.Path]::GetDirectoryName($part)
    }
    foreach ($root in $roots) {
        $base = [System.IO.Path]::GetFullPath([string] $root).TrimEnd('\') + '\'
        if ($full.StartsWith($base, [StringComparison]::OrdinalIgnoreCase)) { return $true }
        if ($full.TrimEnd('\') + '\' -eq $base) { return $true }
    }
    return $false
}
