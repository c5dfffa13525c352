# Takes the seed out of the drive and removes its file. May be repeated.
. (Join-Path $PSScriptRoot 'common.ps1')

Invoke-NcScript {
    param($in)
    Assert-NcBelow 'path' $in.path $in.roots
    $vm = Get-NcVm $in.id
    foreach ($drive in @(Hyper-V\Get-VMDvdDrive -VM $vm)) {
        if ([string]::Equals([string] $drive.Path, [string] $in.path, [StringComparison]::OrdinalIgnoreCase)) { Hyper-V\Set-VMDvdDrive -VMDvdDrive $drive -Path $null }
    }
    [void] (Remove-NcFile $in.path)
    return [ordered] @{ id = [string] $vm.Id }
}
