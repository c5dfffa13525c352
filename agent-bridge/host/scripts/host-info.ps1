# Memory, disk and running VMs of this host.
. (Join-Path $PSScriptRoot 'common.ps1')

Invoke-NcScript {
    param($in)
    Assert-NcPath 'vmRoot' $in.vmRoot
    $os = CimCmdlets\Get-CimInstance -ClassName Win32_OperatingSystem
    $drive = New-Object System.IO.DriveInfo([System.IO.Path]::GetPathRoot([string] $in.vmRoot))
    return [ordered] @{
        host = [string] $env:COMPUTERNAME
        memoryFreeMb = [long] ($os.FreePhysicalMemory / 1KB)
        memoryTotalMb = [long] ($os.TotalVisibleMemorySize / 1KB)
        diskFreeBytes = [long] $drive.AvailableFreeSpace
        vmsRunning = @(Hyper-V\Get-VM | Where-Object { [string] $_.State -eq 'Running' }).Count
    }
}
