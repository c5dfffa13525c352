# Memory, disk and running VMs of this host.
# NOT YET RUN ON WINDOWS; see common.ps1.
. (Join-Path $PSScriptRoot 'common.ps1')

Invoke-NcScript {
    param($in)
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
