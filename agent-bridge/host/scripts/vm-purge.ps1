# Takes a VM away, then its recorded disks and its folder, each only below a root. May be repeated.
. (Join-Path $PSScriptRoot 'common.ps1')

Invoke-NcScript {
    param($in)
    $vmRemoved = $false
    $folder = [string] $in.folder
    if ($folder -ne '') { Assert-NcBelow 'folder' $folder $in.roots }
    $disks = @($in.disks | Where-Object { $_ })
    $vm = $null
    if ($null -ne $in.id -and $null -ne (Find-NcVm $in.id)) { $vm = Get-NcVm $in.id }
    # What another VM has is not ours to take, whatever a record says. Asked before anything is done.
    $others = @(Hyper-V\Get-VM | Where-Object { $null -eq $vm -or $_.Id -ne $vm.Id } | ForEach-Object { [string] $_.Path; Get-NcDisks $_ })
    if ($folder -ne '') {
        foreach ($path in $others) { if (Test-NcBelow $path @($folder)) { throw ('folder: another VM lives in it: ' + $path) } }
    }
    if ($null -ne $vm) {
        Stop-NcVm $vm 0
        Hyper-V\Get-VMSnapshot -VM $vm | Hyper-V\Remove-VMSnapshot
        # A merge goes on after the cmdlet: the disks are only ours to delete when none ends .avhdx.
        $until = [DateTime]::UtcNow.AddMinutes(15)
        while (@(Get-NcDisks $vm | Where-Object { $_ -notlike '*.vhdx' -and $_ -notlike '*.vhd' }).Count -gt 0) {
            if ([DateTime]::UtcNow -gt $until) { throw 'A checkpoint is still being merged.' }
            Start-Sleep -Seconds 2
        }
        $disks = @($disks + @(Get-NcDisks $vm) | Select-Object -Unique)
        # Not by its name, which need not be the VM's.
        if ($vm.IsClustered) { FailoverClusters\Remove-ClusterGroup -VMId $vm.Id -RemoveResources -Force }
        Hyper-V\Remove-VM -VM $vm -Force
        $vmRemoved = $true
    }
    $filesRemoved = 0
    foreach ($disk in $disks) {
        if (-not (Test-NcBelow $disk $in.roots)) { [Console]::Error.WriteLine('kept, not below a root: ' + $disk); continue }
        if ($others -contains $disk) { [Console]::Error.WriteLine('kept, another VM has it: ' + $disk); continue }
        if (Remove-NcFile $disk) { $filesRemoved += 1 }
    }
    if ($folder -ne '') { $filesRemoved += Remove-NcFolder $folder }
    return [ordered] @{ vmRemoved = $vmRemoved; filesRemoved = $filesRemoved }
}
