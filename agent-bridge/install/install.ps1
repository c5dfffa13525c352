<#
.SYNOPSIS
Installs, upgrades or removes the bridge of Node Cycle on a Hyper-V host.
.DESCRIPTION
Run it from the unpacked package, in an elevated PowerShell (5.1 or 7). Running it again repairs, or upgrades when the
package is newer; keys, log, jobs and bridge.yaml stay. -WhatIf shows every act and does none. NOT YET RUN ON WINDOWS:
docs/host-promises.md of the project says what has run where.
.PARAMETER NodePath
node.exe by its absolute path, version 20.19 or later, where only administrators can write.
.PARAMETER WrapperPath
shawl.exe, the service host (docs/host.md: version and why). It is copied next to the bridge.
.PARAMETER WrapperSha256
What shawl.exe must have as its SHA-256, taken from where you trust it.
.PARAMETER AgentAddress
The only address, or addresses, from which the firewall lets connections to the bridge in.
.PARAMETER ServiceAccount
Default: the virtual account of the service. In a domain a gMSA, as DOMAIN\name$.
.PARAMETER PackerHttp
The virtual switch that builds of images use: opens 8000 to 9000 from there. Only where a template is served over HTTP.
.PARAMETER WaitMinutes
How long jobs that run may take to their end before anything is replaced. They are never ended.
.PARAMETER RemoveData
With -Uninstall: bridge.yaml, keys, log and jobs go too. VMs, images and templates are never touched.
#>
[CmdletBinding(SupportsShouldProcess = $true)]
param(
    [string] $NodePath,
    [string] $WrapperPath,
    [string] $WrapperSha256,
    [string[]] $AgentAddress,
    [string] $ServiceAccount = 'NT SERVICE\NodeCycleBridge',
    [string] $ProgramDir = (Join-Path $env:ProgramFiles 'node-cycle-bridge'),
    [string] $StateDir = (Join-Path $env:ProgramData 'node-cycle-bridge'),
    [string] $VmRoot = 'D:\node-cycle\vms',
    [string] $ImageRoot = 'D:\node-cycle\images',
    [string] $PackerHttp,
    [ValidateRange(0, 1440)] [int] $WaitMinutes = 0,
    [switch] $Uninstall,
    [switch] $RemoveData
)

Set-StrictMode -Version 2.0
$ErrorActionPreference = 'Stop'
$ProgressPreference = 'SilentlyContinue'
. (Join-Path $PSScriptRoot 'install-common.ps1')
$act = $PSCmdlet
# powershell.exe -File hands a list over as one text.
$AgentAddress = @($AgentAddress | Where-Object { $_ } | ForEach-Object { $_ -split ',' } | ForEach-Object { $_.Trim() })

$configDir = Join-Path $StateDir 'config'
$dataDir = Join-Path $StateDir 'data'
$config = Join-Path $configDir 'bridge.yaml'
$bundle = Join-Path $ProgramDir 'bridge.cjs'
$scriptsDir = Join-Path $ProgramDir 'scripts'
$wrapper = Join-Path $ProgramDir 'shawl.exe'
$sid = Get-NcServiceSid $NcService

try {
    $faults = @(Get-NcElevationFaults)
    if ($Uninstall) {
        Stop-NcOnFaults $faults
        Stop-NcBridge $act $bundle $WaitMinutes
        Remove-NcFirewall $act
        Remove-NcService $act
        Remove-NcEventSource $act
        Remove-NcFolder $act $ProgramDir 'bridge.cjs' 'the program'
        if ($RemoveData) { Remove-NcFolder $act $StateDir 'config' 'bridge.yaml, keys, log and jobs' }
        else { Write-Output "Kept: $StateDir (bridge.yaml, keys, log, jobs). -RemoveData removes it too." }
        Write-Output "Kept: $VmRoot and $ImageRoot, or wherever bridge.yaml says that VMs and images are."
        exit 0
    }

    $faults += @(Get-NcHostFaults)
    $faults += @(Get-NcArgumentFaults $NodePath $WrapperPath $WrapperSha256 $AgentAddress $ServiceAccount @($ProgramDir, $StateDir, $VmRoot, $ImageRoot))
    $package = @(Get-NcPackage $PSScriptRoot)
    $faults += @($package | Where-Object { $_.Fault } | ForEach-Object { $_.Fault })
    $faults += @(Get-NcFolderFaults @($ProgramDir, $StateDir))
    Stop-NcOnFaults $faults
    $read = Get-NcConfig $NodePath (Join-Path $PSScriptRoot 'bridge.cjs') $config
    Stop-NcOnFaults @($read.Fault | Where-Object { $_ })

    Stop-NcBridge $act $bundle $WaitMinutes

    # The folders are closed before anything is put into them.
    Set-NcFolder $act $ProgramDir "(A;OICI;0x1200a9;;;$sid)" 'the service may read and run'
    Set-NcFolder $act $scriptsDir "(A;OICI;0x1200a9;;;$sid)" 'the service may read and run'
    Set-NcFolder $act $StateDir "(A;;0x1200a9;;;$sid)" 'the service may enter'
    Set-NcFolder $act $configDir "(A;OICI;0x1200a9;;;$sid)" 'the service may read'
    # Files of its own in the folder itself; it can neither rename nor delete the folders below.
    Set-NcFolder $act $dataDir "(A;;0x1200ab;;;$sid)(A;OINPIO;0x1301bf;;;$sid)" 'the service may read, and write files'
    foreach ($name in 'clients', 'keys') { Set-NcFolder $act (Join-Path $dataDir $name) "(A;OICI;0x1200a9;;;$sid)" 'the service may read' }
    foreach ($name in 'jobs', 'records', 'admin', 'service') {
        Set-NcFolder $act (Join-Path $dataDir $name) "(A;OICI;0x1301bf;;;$sid)" 'the service may read and write'
    }
    foreach ($root in $VmRoot, $ImageRoot) { Add-NcRight $act $root $sid }

    Copy-NcPackage $act $PSScriptRoot $ProgramDir $package
    Copy-NcFile $act $WrapperPath $wrapper
    $fresh = -not (Test-Path -LiteralPath $config)
    if ($act.ShouldProcess($config, 'Run bridge-admin init: makes what is missing, changes nothing that is there')) {
        Invoke-NcProgram $NodePath @((Join-Path $ProgramDir 'bridge-admin.cjs'), 'init', '--config', $config, '--data-dir', $dataDir,
            '--scripts-dir', $scriptsDir, '--vm-root', $VmRoot, '--image-root', $ImageRoot)
    }

    $command = Get-NcServiceCommand $wrapper $NodePath $bundle $config $dataDir
    Set-NcService $act $command $ServiceAccount
    Set-NcEventSource $act
    Set-NcFirewall $act $read.Port $AgentAddress $NodePath $PackerHttp

    if ($act.ShouldProcess($NcService, 'Start the service')) {
        Start-Service -Name $NcService
        Write-Output 'What doctor says:'
        $ErrorActionPreference = 'Continue'
        & $NodePath $bundle doctor --config $config
    }
    foreach ($line in Get-NcNextSteps $fresh $NodePath $bundle $config $ServiceAccount) { Write-Output $line }
    exit 0
}
catch {
    [Console]::Error.WriteLine([string] $_)
    exit 1
}
