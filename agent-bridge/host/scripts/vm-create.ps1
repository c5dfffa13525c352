# Makes and starts a VM from an image; its folder is new and belongs to this job.
. (Join-Path $PSScriptRoot 'common.ps1')
. (Join-Path $PSScriptRoot 'vm-common.ps1')

Invoke-NcScript {
    param($in)
    Assert-NcSettings $in
    Assert-NcPath 'imageDisk' $in.imageDisk
    Assert-NcBelow 'disk' $in.disk @($in.folder)
    if ($null -ne (Get-NcAttributes $in.folder)) { throw 'folder: it is already there' }
    [void] [System.IO.Directory]::CreateDirectory([string] $in.folder)
    if ($in.differencing) { Hyper-V\New-VHD -Path $in.disk -ParentPath $in.imageDisk -Differencing | Out-Null }
    else {
        [System.IO.File]::Copy([string] $in.imageDisk, [string] $in.disk)
        # The image is read-only, and so is a copy of it.
        [System.IO.File]::SetAttributes([string] $in.disk, [System.IO.FileAttributes]::Normal)
    }

    $vm = Hyper-V\New-VM -Name $in.name -Generation 2 -MemoryStartupBytes ([long] $in.memoryMb * 1MB) -VHDPath $in.disk -Path $in.folder -SwitchName $in.switchName
    Set-NcSettings $vm $in
    return Start-NcVm $vm $in
}
