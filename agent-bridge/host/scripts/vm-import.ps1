# Takes in, where it lies, the one VM that Packer exported below the job's folder, gives it its settings and starts it.
. (Join-Path $PSScriptRoot 'common.ps1')
. (Join-Path $PSScriptRoot 'vm-common.ps1')

# Links are not followed: what they lead to was not exported here.
function Get-NcExports([string] $folder) {
    foreach ($file in [System.IO.Directory]::GetFiles($folder, '*.vmcx')) { $file }
    foreach ($below in [System.IO.Directory]::GetDirectories($folder)) { if (-not (Test-NcFolderLink $below)) { Get-NcExports $below } }
}

function Stop-NcWrongExport([string] $why) {
    [Console]::Error.WriteLine('exported: ' + $why)
    Stop-NcWith 'wrongExport'
}

Invoke-NcScript {
    param($in)
    Assert-NcSettings $in
    Assert-NcBelow 'exported' $in.exported @($in.folder)
    $files = @(if ($null -ne (Get-NcAttributes $in.exported)) { Get-NcExports $in.exported })
    # A checkpoint has a file of its own.
    if ($files.Count -ne 1) { Stop-NcWrongExport ('expected one .vmcx, of one VM without checkpoints, found ' + $files.Count + ' below "' + $in.exported + '"') }
    $file = [string] $files[0]
    if ((Get-NcAttributes $file) -band [System.IO.FileAttributes]::ReparsePoint) { Stop-NcWrongExport ('"' + $file + '" is a link') }
    # Packer took its time; a person may have made one meanwhile.
    if (@(Hyper-V\Get-VM | Where-Object { [string] $_.Name -eq [string] $in.name }).Count -gt 0) { Stop-NcWith 'nameTaken' }

    $report = Hyper-V\Compare-VM -Path $file -Register
    # A switch that is not there: the VM gets another one below.
    $lost = @($report.Incompatibilities | Where-Object { $_ -and $_.MessageId -eq 33012 })
    foreach ($one in $lost) { Hyper-V\Disconnect-VMNetworkAdapter -VMNetworkAdapter $one.Source }
    if ($lost.Count -gt 0) { $report = Hyper-V\Compare-VM -CompatibilityReport $report }
    $others = @($report.Incompatibilities | Where-Object { $_ } | ForEach-Object { [string] $_.Message })
    if ($others.Count -gt 0) { Stop-NcWrongExport ('this host cannot take it: ' + ($others -join ' ')) }
    if ([int] $report.VM.Generation -ne 2) { Stop-NcWrongExport ('expected generation 2, found ' + $report.VM.Generation) }

    $vm = Hyper-V\Import-VM -CompatibilityReport $report
    $disks = @(Get-NcDisks $vm)
    if ($disks.Count -eq 0 -or -not (Test-NcHome $vm $in.folder)) { Stop-NcWrongExport ('expected its disks in "' + $in.folder + '", found ' + ($disks -join ', ')) }
    $adapters = @(Hyper-V\Get-VMNetworkAdapter -VM $vm)
    if ($adapters.Count -ne 1) { Stop-NcWrongExport ('expected one network adapter, found ' + $adapters.Count) }
    Hyper-V\Rename-VM -VM $vm -NewName $in.name
    # An export may still name Packer's own folder for these, and that is gone.
    Hyper-V\Set-VM -VM $vm -SnapshotFileLocation $in.exported -SmartPagingFilePath $in.exported
    Hyper-V\Connect-VMNetworkAdapter -VMNetworkAdapter $adapters[0] -SwitchName $in.switchName
    # What the installer was read from.
    Hyper-V\Get-VMDvdDrive -VM $vm | Hyper-V\Remove-VMDvdDrive
    Set-NcSettings $vm $in
    return Start-NcVm $vm $in
}
