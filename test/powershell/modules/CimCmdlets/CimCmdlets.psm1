# Stand-in for the one query that the scripts make of CIM, in the class's own units (KB).
. ([System.IO.Path]::Combine($PSScriptRoot, '..', 'world.ps1'))

function Get-CimInstance {
    [CmdletBinding()]
    param([Parameter(Mandatory = $true, Position = 0)] [ValidateSet('Win32_OperatingSystem')] [string] $ClassName)
    process { Invoke-Act $PSCmdlet $PSBoundParameters }
}

function Invoke-GetCimInstance($world, $set, $bound) {
    return [pscustomobject] @{ FreePhysicalMemory = [uint64] ((Get-FreeMemoryMb $world) * 1024); TotalVisibleMemorySize = [uint64] ($world.host.memoryTotalMb * 1024) }
}
Export-ModuleMember -Function Get-CimInstance
