# Every differencing parent of the given disks, up to the first one. Changes nothing.
# NOT YET RUN ON WINDOWS; see common.ps1.
. (Join-Path $PSScriptRoot 'common.ps1')

Invoke-NcScript {
    param($in)
    $parents = New-Object System.Collections.ArrayList
    foreach ($disk in @($in.disks)) {
        $path = [string] $disk
        while ($path -ne '' -and (Test-Path -LiteralPath $path)) {
            $path = [string] (Hyper-V\Get-VHD -Path $path).ParentPath
            # One that is known has its own parents listed already; this also ends a circle.
            if ($path -eq '' -or $parents.Contains($path)) { break }
            [void] $parents.Add($path)
        }
    }
    return [ordered] @{ parents = @($parents) }
}
