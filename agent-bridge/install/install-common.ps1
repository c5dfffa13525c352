# What install.ps1 does, act by act. ASCII only; Windows PowerShell 5.1 and PowerShell 7.
# NOT YET RUN ON WINDOWS: written from the documentation of cmdlets and programs.
#
# Every change goes through ShouldProcess of install.ps1, here as $act, so that -WhatIf shows it and does not do it.

$NcService = 'NodeCycleBridge'
$NcSourceKey = 'HKLM\SYSTEM\CurrentControlSet\Services\EventLog\Application\NodeCycleBridge'
$NcLeastNode = [version] '20.19'
# Windows Server 2016.
$NcLeastBuild = 14393
# A stop of the bridge takes a second or so; a log that is slow to be written takes longer.
$NcStopTimeoutMs = 20000

function Stop-NcOnFaults($faults) {
    if (@($faults).Count -eq 0) { return }
    throw "Nothing was changed:`n" + ((@($faults) | ForEach-Object { "  $_" }) -join "`n")
}

function Get-NcSystemTool([string] $name) { return Join-Path (Join-Path $env:SystemRoot 'System32') $name }

function Invoke-NcProgram([string] $program, [string[]] $arguments) {
    # What a program says on stderr is for the reader; its exit code counts. Under Stop, 5.1 may throw at the first line.
    $ErrorActionPreference = 'Continue'
    & $program @arguments
    if ($LASTEXITCODE -ne 0) { throw "$program $($arguments[0]) ended with exit code $LASTEXITCODE." }
}

# The module of local groups belongs to Windows PowerShell; in 7 it does not always load. Constant text, without double
# quotes; the account comes in a variable. S-1-5-32-578 is Hyper-V Administrators in every language.
$NcJoinGroup = @'
$ErrorActionPreference = 'Stop'
$account = $env:NODE_CYCLE_ACCOUNT
try { Microsoft.PowerShell.LocalAccounts\Add-LocalGroupMember -SID S-1-5-32-578 -Member $account }
catch { if ($_.FullyQualifiedErrorId -notlike 'MemberExists*') { [Console]::Error.WriteLine([string] $_); exit 1 } }
exit 0
'@
$NcLeaveGroup = @'
$ErrorActionPreference = 'Stop'
$account = $env:NODE_CYCLE_ACCOUNT
try { Microsoft.PowerShell.LocalAccounts\Remove-LocalGroupMember -SID S-1-5-32-578 -Member $account }
catch { if ($_.FullyQualifiedErrorId -notlike 'MemberNotFound*' -and $_.FullyQualifiedErrorId -notlike 'PrincipalNotFound*') { [Console]::Error.WriteLine([string] $_); exit 1 } }
exit 0
'@

function Invoke-NcWindowsPowerShell([string] $text, [string] $account) {
    $ErrorActionPreference = 'Continue'
    $program = Get-NcSystemTool (Join-Path (Join-Path 'WindowsPowerShell' 'v1.0') 'powershell.exe')
    $env:NODE_CYCLE_ACCOUNT = $account
    & $program '-NoLogo' '-NoProfile' '-NonInteractive' '-Command' $text
    if ($LASTEXITCODE -ne 0) { throw "The group Hyper-V Administrators could not be changed for $account (above)." }
}

# As Windows makes it: the SHA-1 of the name in capitals, so it is known before the service is there.
function Get-NcServiceSid([string] $name) {
    $bytes = [System.Text.Encoding]::Unicode.GetBytes($name.ToUpperInvariant())
    $hash = [System.Security.Cryptography.SHA1]::Create().ComputeHash($bytes)
    $parts = foreach ($at in 0, 4, 8, 12, 16) { [System.BitConverter]::ToUInt32($hash, $at) }
    return 'S-1-5-80-' + ($parts -join '-')
}

# --- what must be so before anything is changed

function Get-NcElevationFaults {
    # High or system integrity, by SID: names of groups differ by language.
    $groups = @(& (Get-NcSystemTool 'whoami.exe') '/groups' '/fo' 'csv' '/nh') -join "`n"
    if ($groups -notmatch 'S-1-16-(12288|16384)') { 'This PowerShell is not elevated: open it with "Run as administrator".' }
}

function Get-NcHostFaults {
    $system = CimCmdlets\Get-CimInstance -ClassName Win32_OperatingSystem
    if ([int] $system.ProductType -eq 1) { 'This is no Windows Server.' }
    if ([int] $system.ProductType -eq 2) { 'This is a domain controller: it has no local groups, and the bridge has no business there.' }
    if ([int] $system.BuildNumber -lt $NcLeastBuild) { "Windows Server 2016 or later is needed; this is build $($system.BuildNumber)." }
    if ($null -eq (Get-Service -Name 'vmms' -ErrorAction SilentlyContinue)) { 'The Hyper-V role is not installed: there is no service vmms.' }
    if ($null -eq (Get-Module -ListAvailable -Name 'Hyper-V')) { 'The PowerShell module Hyper-V is not installed (feature Hyper-V-PowerShell).' }
}

function Get-NcArgumentFaults([string] $node, [string] $wrapper, [string] $sha256, [string[]] $addresses, [string] $account, [string[]] $folders) {
    if (-not $node -or -not [System.IO.Path]::IsPathRooted($node)) { '-NodePath must be the absolute path of node.exe.' }
    elseif (-not (Test-Path -LiteralPath $node -PathType Leaf)) { "There is no $node." }
    else {
        $said = [string] (& $node '--version')
        if ($said -notmatch '^v(\d+\.\d+)\.\d+' -or [version] $Matches[1] -lt $NcLeastNode) { "$node is '$said'; v$NcLeastNode or later is needed." }
    }
    if (-not $wrapper -or -not [System.IO.Path]::IsPathRooted($wrapper)) { '-WrapperPath must be the absolute path of shawl.exe.' }
    elseif (-not (Test-Path -LiteralPath $wrapper -PathType Leaf)) { "There is no $wrapper." }
    elseif ($sha256 -notmatch '^[0-9A-Fa-f]{64}$') { '-WrapperSha256 must be the 64 hexadecimal digits of the SHA-256 of shawl.exe.' }
    else {
        $found = (Get-FileHash -LiteralPath $wrapper -Algorithm SHA256).Hash
        if ($found -ne $sha256) { "$wrapper has the SHA-256 $found, not the one that was given." }
    }
    if (@($addresses).Count -eq 0) { '-AgentAddress must name the address of the agent VM.' }
    foreach ($one in @($addresses)) {
        if (-not (Test-NcAddress $one)) { "-AgentAddress: '$one' is neither an address nor a network of /8 or smaller." }
    }
    if ($account -ne "NT SERVICE\$NcService" -and $account -notmatch '^[A-Za-z0-9.-]{1,64}\\[A-Za-z0-9._-]{1,63}\$$') {
        "-ServiceAccount must be NT SERVICE\$NcService or a group managed service account, DOMAIN\name`$: an account with a password of its own would have it known to somebody."
    }
    foreach ($path in @($folders + $node + $wrapper)) {
        # They become part of the service's command line.
        if ($path -and ($path -match '["%\r\n]' -or -not [System.IO.Path]::IsPathRooted($path))) { "'$path' is no absolute path, or has a character that a service's command line cannot hold." }
    }
}

# 0.0.0.0/0 and ::/0 would open the door to everybody; 010.0.0.1 and 10.1 are read in more than one way.
function Test-NcAddress([string] $text) {
    if ($text -notmatch '^([^/]+)(/([89]|[1-9]\d|1[01]\d|12[0-8]))?$') { return $false }
    $address = $Matches[1]
    $part = '(0|[1-9]\d?|1\d\d|2[0-4]\d|25[0-5])'
    if ($address -notmatch "^$part(\.$part){3}$" -and $address -notmatch '^[0-9A-Fa-f:]*:[0-9A-Fa-f:]*$') { return $false }
    $parsed = $null
    return [System.Net.IPAddress]::TryParse($address, [ref] $parsed) -and -not [System.Net.IPAddress]::Any.Equals($parsed) -and -not [System.Net.IPAddress]::IPv6Any.Equals($parsed)
}

# A folder that somebody else made first could hold his bridge.yaml.
function Get-NcFolderFaults([string[]] $folders) {
    foreach ($path in $folders) {
        if (-not (Test-Path -LiteralPath $path)) { continue }
        if ((Get-Item -LiteralPath $path -Force).Attributes -band [System.IO.FileAttributes]::ReparsePoint) { "$path is a link or a junction."; continue }
        $sddl = (Get-Acl -LiteralPath $path).Sddl
        if ($sddl -notmatch '^O:(BA|SY|S-1-5-80-956008885-3418522649-1831038044-1853292631-2271478464)[GD]') { "$path belongs to neither Administrators nor SYSTEM ($sddl): look at what is in it, then remove it or take ownership." }
    }
}

# The files of the package, each with its fault, if it has one.
function Get-NcPackage([string] $from) {
    $sums = Join-Path $from 'SHA256SUMS'
    if (-not (Test-Path -LiteralPath $sums -PathType Leaf)) { return [pscustomobject] @{ Name = 'SHA256SUMS'; Fault = "There is no SHA256SUMS in ${from}: unpack the whole package." } }
    $listed = @{}
    foreach ($line in [System.IO.File]::ReadAllLines($sums)) {
        $fault = ''
        $name = ''
        if ($line -notmatch '^([0-9a-f]{64})  ([A-Za-z0-9_-][A-Za-z0-9._-]*(/[A-Za-z0-9_-][A-Za-z0-9._-]*)*)$') { $fault = "SHA256SUMS has a line that is none of its own: '$line'" }
        else {
            $sum = $Matches[1]
            $name = $Matches[2]
            $listed[$name] = $true
            $file = Join-Path $from $name
            if (-not (Test-Path -LiteralPath $file -PathType Leaf)) { $fault = "$name is missing in the package." }
            elseif ((Get-FileHash -LiteralPath $file -Algorithm SHA256).Hash -ne $sum) { $fault = "$name is not the file of the package: its SHA-256 differs." }
        }
        [pscustomobject] @{ Name = $name; Fault = $fault }
    }
    foreach ($needed in 'bridge.cjs', 'bridge-admin.cjs', 'install.ps1', 'install-common.ps1') {
        if (-not $listed.ContainsKey($needed)) { [pscustomobject] @{ Name = $needed; Fault = "SHA256SUMS does not name $needed." } }
    }
}

# As the bridge of this package reads the bridge.yaml that is there: its port, or what keeps it from starting.
function Get-NcConfig([string] $node, [string] $bundle, [string] $config) {
    $found = [pscustomobject] @{ Port = 8443; Fault = '' }
    if (-not (Test-Path -LiteralPath $config)) { return $found }
    $ErrorActionPreference = 'Continue'
    $said = @(& $node $bundle check --config $config)
    if ($LASTEXITCODE -ne 0) { $found.Fault = "$config has faults for this version of the bridge: they are listed above." }
    elseif ([string] $said[0] -match ' listens on \S+:(\d+) ') { $found.Port = [int] $Matches[1] }
    else { $found.Fault = "bridge check did not say where the bridge listens: $($said[0])" }
    return $found
}

# --- the service, stopped without ending what it started

function Get-NcBridgeService { return CimCmdlets\Get-CimInstance -ClassName Win32_Service -Filter "Name = 'NodeCycleBridge'" }

# Supervisors are the same bundle, started with the word supervise; they outlive the service on purpose.
function Get-NcJobs([string] $bundle) {
    return @(CimCmdlets\Get-CimInstance -ClassName Win32_Process -Filter "CommandLine LIKE '%supervise%'" |
        Where-Object { ([string] $_.CommandLine).IndexOf($bundle, [StringComparison]::OrdinalIgnoreCase) -ge 0 })
}

function Stop-NcBridge($act, [string] $bundle, [int] $minutes) {
    $service = Get-NcBridgeService
    $ran = $null -ne $service -and [string] $service.State -ne 'Stopped'
    if (-not $act.ShouldProcess($NcService, "Stop the service, if it is there, and wait up to $minutes minute(s) for jobs that run")) { return }
    if ($ran) { Stop-Service -Name $NcService }
    $until = [DateTime]::UtcNow.AddMinutes($minutes)
    while (@(Get-NcJobs $bundle).Count -gt 0) {
        if ([DateTime]::UtcNow -ge $until) {
            $count = @(Get-NcJobs $bundle).Count
            if ($ran) { Start-Service -Name $NcService }
            throw "$count job(s) still run; nothing was replaced, and the bridge is as it was. Run this again later, or with -WaitMinutes 120."
        }
        Start-Sleep -Seconds 5
    }
}

function Get-NcServiceCommand([string] $wrapper, [string] $node, [string] $bundle, [string] $config, [string] $data) {
    $log = Join-Path $data 'service'
    # Without --kill-process-tree: supervisors must outlive the service. Restarts are the service manager's.
    return '"{0}" run --name {1} --no-restart --stop-timeout {2} --cwd "{3}" --log-dir "{4}" --log-rotate bytes=10485760 --log-retain 5 -- "{5}" "{6}" serve --config "{7}"' -f `
        $wrapper, $NcService, $NcStopTimeoutMs, $data, $log, $node, $bundle, $config
}

function Set-NcService($act, [string] $command, [string] $account) {
    if (-not $act.ShouldProcess($NcService, "Make or correct the service: $command, as $account, start automatically after the others, restart after 5, 30 and 300 s")) { return }
    $sc = Get-NcSystemTool 'sc.exe'
    $service = Get-NcBridgeService
    if ($null -eq $service) {
        New-Service -Name $NcService -BinaryPathName $command -DisplayName 'Node Cycle bridge' -Description 'Does a handful of allow-listed operations on this Hyper-V host for Node Cycle.' -StartupType Automatic | Out-Null
    }
    elseif ([string] $service.PathName -ne $command) {
        $answer = CimCmdlets\Invoke-CimMethod -InputObject $service -MethodName Change -Arguments @{ PathName = $command }
        if ([int] $answer.ReturnValue -ne 0) { throw "The command line of the service could not be changed: Win32_Service.Change gave $($answer.ReturnValue)." }
    }
    Invoke-NcProgram $sc @('config', $NcService, 'obj=', $account, 'start=', 'delayed-auto')
    # The password of a gMSA is the domain's; the flag says so.
    if ($account.EndsWith('$')) { Invoke-NcProgram $sc @('managedaccount', $NcService, 'true') }
    # With it the token has the service's own SID, whatever the account: all rights on files are given to that SID.
    Invoke-NcProgram $sc @('sidtype', $NcService, 'unrestricted')
    Invoke-NcProgram $sc @('failure', $NcService, 'reset=', '86400', 'actions=', 'restart/5000/restart/30000/restart/300000')
    Invoke-NcProgram $sc @('failureflag', $NcService, '1')
    Invoke-NcWindowsPowerShell $NcJoinGroup $account
}

function Remove-NcService($act) {
    $service = Get-NcBridgeService
    if ($null -eq $service) { return }
    $account = [string] $service.StartName
    if (-not $act.ShouldProcess($NcService, "Remove the service, and $account from Hyper-V Administrators")) { return }
    Invoke-NcWindowsPowerShell $NcLeaveGroup $account
    Invoke-NcProgram (Get-NcSystemTool 'sc.exe') @('delete', $NcService)
}

# --- folders and files

# Administrators own it, they and SYSTEM may do everything, nothing is inherited, and the service gets what is said.
function Set-NcFolder($act, [string] $path, [string] $rule, [string] $says) {
    if (-not $act.ShouldProcess($path, "Make the folder and close it: Administrators and SYSTEM everything, $says, nobody else anything")) { return }
    if (-not (Test-Path -LiteralPath $path)) { New-Item -ItemType Directory -Path $path | Out-Null }
    $acl = Get-Acl -LiteralPath $path
    $acl.SetSecurityDescriptorSddlForm("O:BAG:BAD:PAI(A;OICI;FA;;;SY)(A;OICI;FA;;;BA)$rule")
    Set-Acl -LiteralPath $path -AclObject $acl
}

# Other VMs may be there: a right is added, none is taken.
function Add-NcRight($act, [string] $path, [string] $sid) {
    if (-not $act.ShouldProcess($path, 'Make the folder, if it is missing, and let the service read and write in it')) { return }
    if (-not (Test-Path -LiteralPath $path)) { New-Item -ItemType Directory -Path $path | Out-Null }
    Invoke-NcProgram (Get-NcSystemTool 'icacls.exe') @($path, '/grant', "*${sid}:(OI)(CI)(M)", '/q')
}

function Copy-NcFile($act, [string] $from, [string] $to) {
    if ([System.IO.Path]::GetFullPath($from) -eq [System.IO.Path]::GetFullPath($to)) { return }
    if (-not $act.ShouldProcess($to, "Copy from $from")) { return }
    $folder = Split-Path -Parent $to
    if (-not (Test-Path -LiteralPath $folder)) { New-Item -ItemType Directory -Path $folder | Out-Null }
    Copy-Item -LiteralPath $from -Destination $to -Force
}

function Copy-NcPackage($act, [string] $from, [string] $to, $package) {
    $names = @($package | ForEach-Object { $_.Name }) + 'SHA256SUMS'
    # The scripts are also in the bundle, and bridge-admin init writes them: those are the ones that it will run.
    foreach ($name in $names) { if ($name -notlike 'scripts/*') { Copy-NcFile $act (Join-Path $from $name) (Join-Path $to $name) } }
    $scripts = Join-Path $to 'scripts'
    if (-not (Test-Path -LiteralPath $scripts)) { return }
    foreach ($old in Get-ChildItem -LiteralPath $scripts) {
        if ($names -contains "scripts/$($old.Name)") { continue }
        if ($act.ShouldProcess($old.FullName, 'Remove what this version does not have')) { Remove-Item -LiteralPath $old.FullName -Recurse -Force }
    }
}

# Only a folder that holds what the bridge puts there: a mistyped path must not cost anybody's files.
function Remove-NcFolder($act, [string] $path, [string] $proof, [string] $what) {
    if (-not (Test-Path -LiteralPath $path)) { return }
    if (-not (Test-Path -LiteralPath (Join-Path $path $proof))) { throw "$path has no ${proof}: it is not what it was taken for, and stays." }
    if ($act.ShouldProcess($path, "Remove $what")) { Remove-Item -LiteralPath $path -Recurse -Force }
}

# --- event source, firewall

# By the registry: New-EventLog is not in PowerShell 7. The message file is .NET's own, whose text is the first string.
function Set-NcEventSource($act) {
    if (-not $act.ShouldProcess('Event Log "Application"', 'Register the source NodeCycleBridge')) { return }
    $reg = Get-NcSystemTool 'reg.exe'
    Invoke-NcProgram $reg @('add', $NcSourceKey, '/v', 'EventMessageFile', '/t', 'REG_EXPAND_SZ', '/d', '%SystemRoot%\Microsoft.NET\Framework64\v4.0.30319\EventLogMessages.dll', '/f')
    Invoke-NcProgram $reg @('add', $NcSourceKey, '/v', 'TypesSupported', '/t', 'REG_DWORD', '/d', '7', '/f')
}

function Remove-NcEventSource($act) {
    $reg = Get-NcSystemTool 'reg.exe'
    $ErrorActionPreference = 'Continue'
    & $reg 'query' $NcSourceKey '/v' 'TypesSupported' | Out-Null
    if ($LASTEXITCODE -ne 0) { return }
    $ErrorActionPreference = 'Stop'
    if ($act.ShouldProcess('Event Log "Application"', 'Remove the source NodeCycleBridge')) { Invoke-NcProgram $reg @('delete', $NcSourceKey, '/f') }
}

function Set-NcRule($act, [string] $name, [string] $says, [hashtable] $wanted) {
    if (-not $act.ShouldProcess("Firewall rule $name", $says)) { return }
    if ($null -eq (NetSecurity\Get-NetFirewallRule -Name $name -ErrorAction SilentlyContinue)) {
        NetSecurity\New-NetFirewallRule -Name $name -DisplayName "Node Cycle bridge ($name)" -Enabled True -Profile Any -Direction Inbound -Action Allow -Protocol TCP @wanted | Out-Null
    }
    else { NetSecurity\Set-NetFirewallRule -Name $name -Enabled True -Profile Any -Direction Inbound -Action Allow -Protocol TCP @wanted }
}

function Set-NcFirewall($act, [int] $port, [string[]] $addresses, [string] $node, [string] $packerSwitch) {
    Set-NcRule $act 'NodeCycleBridge-In' "Allow TCP $port for $node from $($addresses -join ', ') only" @{ LocalPort = [string] $port; RemoteAddress = $addresses; Program = $node }
    if ($packerSwitch) {
        Set-NcRule $act 'NodeCycleBridge-Packer' "Allow TCP 8000-9000 from the switch $packerSwitch only: Packer serves files to the VM that it builds" @{ LocalPort = '8000-9000'; InterfaceAlias = "vEthernet ($packerSwitch)" }
    }
    else { Remove-NcRule $act 'NodeCycleBridge-Packer' }
}

function Remove-NcRule($act, [string] $name) {
    if ($null -eq (NetSecurity\Get-NetFirewallRule -Name $name -ErrorAction SilentlyContinue)) { return }
    if ($act.ShouldProcess("Firewall rule $name", 'Remove')) { NetSecurity\Remove-NetFirewallRule -Name $name }
}

function Remove-NcFirewall($act) { foreach ($name in 'NodeCycleBridge-In', 'NodeCycleBridge-Packer') { Remove-NcRule $act $name } }

function Get-NcNextSteps([bool] $fresh, [string] $node, [string] $bundle, [string] $config, [string] $account) {
    'Next:'
    if ($fresh) {
        "  1. Fill in $config, which grants nothing yet; it counts within a second."
        "  2. & '$node' '$($bundle -replace 'bridge\.cjs$', 'bridge-admin.cjs')' enroll agent-prod --config '$config'"
        "  3. & '$node' '$bundle' check --config '$config'"
        "  4. & '$node' '$bundle' adopt --cluster prod --all-matching 'prod-n*' --config '$config'"
    }
    "  Whenever something is odd: & '$node' '$bundle' doctor --config '$config'"
    '  The first time on a host: the checklist in docs/host-promises.md.'
    if ($account.EndsWith('$')) { "  $account needs the right to log on as a service, by policy; without it the service does not start (error 1069)." }
    '  DNS: docs/host.md says which rights the zone needs, and who gives them.'
}
