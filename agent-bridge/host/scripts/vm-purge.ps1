# Takes a VM away, then its recorded disks and its folder, each only below a root. May be repeated.
# NOT YET RUN ON WINDOWS; see common.ps1.
. (Join-Path $PSScriptRoot 'common.ps1')

Invoke-NcScript {
    param($in)
    $vmRemoved = $false
    $disks = @($in.disks | Where-Object { $_ })
    if ($null -ne $in.id) {
        $vm = Hyper-V\Get-VM -Id ([guid]::Parse($in.id)) -ErrorAction SilentlyContinue
        if ($null -ne $vm) {
            $vm = Get-NcVm $in.id
            Stop-NcVm $vm 0
            Hyper-V\Get-VMSnapshot -VM $vm | Hyper-V\Remove-VMSnapshot
            # A merge goes on after the cmdlet: the disks are only ours to delete when none ends .avhdx.
            $until = [DateTime]::UtcNow.AddMinutes(15)
            while (@(Get-NcDisks $vm | Where-Object { $_ -notlike '*.vhdx' -and $_ -notlike '*.vhd' }).Count -gt 0) {
                if ([DateTime]::UtcNow -gt $until) { throw 'A checkpoint is still being merged.' }
                Start-Sleep -Seconds 2
            }
            $disks = @($disks + @(Get-NcDisks $vm) | Select-Object -Unique)
            if ($vm.IsClustered) { FailoverClusters\Remove-ClusterGroup -Name $vm.Name -RemoveResources -Force }
            Hyper-V\Remove-VM -VM $vm -Force
            $vmRemoved = $true
        }
    }
    $filesRemoved = 0
    foreach ($disk in $disks) {
        if (-not (Test-NcBelow $disk $in.roots)) { [Console]::Error.WriteLine('kept, not below a root: ' + $disk); continue }
        if (Test-Path -LiteralPath $disk -PathType Leaf) { Remove-Item -LiteralPath $disk -Force; $filesRemoved += 1 }
    }
    if ($null -ne $in.folder -and (Test-Path -LiteralPath $in.folder)) {
        if (-not (Test-NcBelow $in.folder $in.roots)) { throw 'The folder is not below a root.' }
        $filesRemoved += @(Get-ChildItem -LiteralPath $in.folder -Recurse -File -Force).Count
        Remove-Item -LiteralPath $in.folder -Recurse -Force
    }
    return [ordered] @{ vmRemoved = $vmRemoved; filesRemoved = $filesRemoved }
}
