# A Windows host as install.ps1 sees it: stand-ins for what Linux does not have, which write down how they were called.
# Their parameters are the documented ones, so that a parameter that does not exist is an error.
$ErrorActionPreference = 'Stop'
$global:here = $PSScriptRoot
$global:world = ConvertFrom-Json -InputObject ([System.IO.File]::ReadAllText((Join-Path $here 'world.json')))
foreach ($pair in $world.env.PSObject.Properties) { [Environment]::SetEnvironmentVariable($pair.Name, $pair.Value) }

function global:Write-Call([string] $name, $bound) {
    $plain = @{}
    foreach ($key in $bound.Keys) {
        $value = $bound[$key]
        if ($key -eq 'InputObject' -or $key -eq 'AclObject') { continue }
        $plain[$key] = if ($value -is [array]) { @($value | ForEach-Object { [string] $_ }) } elseif ($value -is [hashtable]) { $value } else { [string] $value }
    }
    $line = ConvertTo-Json -InputObject @{ name = $name; with = $plain } -Depth 6 -Compress
    [System.IO.File]::AppendAllText((Join-Path $global:here 'calls'), $line + "`n")
}
function global:Save-World { [System.IO.File]::WriteAllText((Join-Path $global:here 'world.json'), (ConvertTo-Json -InputObject $global:world -Depth 8)) }

function global:Get-Service { [CmdletBinding()] param([string[]] $Name)
    if ($Name[0] -eq 'vmms' -and $global:world.hyperV) { [pscustomobject] @{ Name = 'vmms' } } }
function global:Stop-Service { [CmdletBinding()] param([string[]] $Name, [switch] $Force) Write-Call 'Stop-Service' $PSBoundParameters; $global:world.service.State = 'Stopped'; Save-World }
function global:Start-Service { [CmdletBinding()] param([string[]] $Name) Write-Call 'Start-Service' $PSBoundParameters; $global:world.service.State = 'Running'; Save-World }
function global:New-Service { [CmdletBinding()] param([string] $Name, [string] $BinaryPathName, [string] $DisplayName, [string] $Description, [string] $StartupType)
    Write-Call 'New-Service' $PSBoundParameters
    $global:world.service = [pscustomobject] @{ PathName = $BinaryPathName; State = 'Stopped'; StartName = 'LocalSystem' }; Save-World }
function global:Get-Module { [CmdletBinding()] param([switch] $ListAvailable, [string[]] $Name)
    if ($global:world.hyperVModule) { [pscustomobject] @{ Name = $Name[0] } } }

function global:Get-Acl { [CmdletBinding()] param([string[]] $LiteralPath)
    if (-not (Test-Path -LiteralPath $LiteralPath[0])) { throw "Cannot find path '$LiteralPath'." }
    $kept = $global:world.acls.PSObject.Properties[$LiteralPath[0]]
    $acl = [pscustomobject] @{ Sddl = if ($null -ne $kept) { [string] $kept.Value } else { 'O:BAG:SYD:AI(A;OICIID;FA;;;SY)(A;OICIID;0x1200a9;;;BU)' } }
    Add-Method $acl
    return $acl }
function global:Add-Method($acl) {
    $acl.PSObject.Methods.Add((New-Object System.Management.Automation.PSScriptMethod('SetSecurityDescriptorSddlForm', { param($sddl) $this.Sddl = $sddl }))) }
function global:Set-Acl { [CmdletBinding()] param([string[]] $LiteralPath, $AclObject)
    $global:world.acls.PSObject.Properties.Remove($LiteralPath[0])
    $global:world.acls.PSObject.Properties.Add((New-Object System.Management.Automation.PSNoteProperty($LiteralPath[0], $AclObject.Sddl)))
    Save-World
    [System.IO.File]::AppendAllText((Join-Path $global:here 'calls'), (ConvertTo-Json -InputObject @{ name = 'Set-Acl'; with = @{ LiteralPath = $LiteralPath[0]; Sddl = $AclObject.Sddl; inside = @([System.IO.Directory]::GetFileSystemEntries($LiteralPath[0])).Count } } -Compress) + "`n") }

New-Module -Name CimCmdlets -ScriptBlock {
    function Get-CimInstance { [CmdletBinding()] param([string] $ClassName, [string] $Filter)
        switch ($ClassName) {
            'Win32_OperatingSystem' { return $global:world.system }
            'Win32_Service' { if ($null -ne $global:world.service) { return $global:world.service } }
            'Win32_Process' { if ($Filter -ne "CommandLine LIKE '%supervise%'") { throw 'another filter' } ; return @($global:world.processes | Where-Object { $_ }) }
            default { throw "no class $ClassName" }
        }
    }
    function Invoke-CimMethod { [CmdletBinding()] param($InputObject, [string] $MethodName, [System.Collections.IDictionary] $Arguments)
        Write-Call 'Invoke-CimMethod' $PSBoundParameters
        $global:world.service.PathName = $Arguments.PathName; Save-World
        return [pscustomobject] @{ ReturnValue = [uint32] 0 }
    }
} | Import-Module -Global
New-Module -Name NetSecurity -ScriptBlock {
    function Get-NetFirewallRule { [CmdletBinding()] param([string[]] $Name)
        if (@($global:world.rules) -contains $Name[0]) { return [pscustomobject] @{ Name = $Name[0] } }
        Write-Error -Message "No MSFT_NetFirewallRule objects found with property 'InstanceID' equal to '$Name'." -ErrorId 'CmdletizationQuery_NotFound_InstanceID' }
    function New-NetFirewallRule { [CmdletBinding()] param([string] $Name, [Parameter(Mandatory = $true)] [string] $DisplayName, [ValidateSet('True', 'False')] [string] $Enabled, [string] $Profile, [ValidateSet('Inbound', 'Outbound')] [string] $Direction, [ValidateSet('Allow', 'Block', 'NotConfigured')] [string] $Action, [string] $Protocol, [string[]] $LocalPort, [string[]] $RemoteAddress, [string] $Program, [string[]] $InterfaceAlias)
        Write-Call 'New-NetFirewallRule' $PSBoundParameters
        $global:world.rules = @($global:world.rules) + $Name; Save-World }
    function Set-NetFirewallRule { [CmdletBinding()] param([string[]] $Name, [ValidateSet('True', 'False')] [string] $Enabled, [string] $Profile, [string] $Direction, [string] $Action, [string] $Protocol, [string[]] $LocalPort, [string[]] $RemoteAddress, [string] $Program, [string[]] $InterfaceAlias)
        Write-Call 'Set-NetFirewallRule' $PSBoundParameters }
    function Remove-NetFirewallRule { [CmdletBinding()] param([string[]] $Name) Write-Call 'Remove-NetFirewallRule' $PSBoundParameters
        $global:world.rules = @(@($global:world.rules) | Where-Object { $_ -ne $Name[0] }); Save-World }
} | Import-Module -Global

$with = @{}
foreach ($pair in $world.parameters.PSObject.Properties) { $with[$pair.Name] = $pair.Value }
& $world.script @with
exit $LASTEXITCODE
