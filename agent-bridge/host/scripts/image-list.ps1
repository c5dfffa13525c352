# The newest finished build of each image: image.json is written last, so what has none is not finished.
. (Join-Path $PSScriptRoot 'common.ps1')

Invoke-NcScript {
    param($in)
    $images = @($in.images | ForEach-Object {
        Assert-NcPath 'folder' $_.folder
        $file = [System.IO.Path]::Combine([string] $_.folder, 'image.json')
        if ([System.IO.File]::Exists($file)) {
            $image = ConvertFrom-NcJson ([System.IO.File]::ReadAllText($file, $script:NcUtf8))
            # Somebody may have taken the disk away, and a file of another image is not this one's.
            if ([System.IO.File]::Exists([string] $image.disk) -and (Test-NcSame $image.id $_.id)) {
                [ordered] @{ id = [string] $_.id; builtAt = [string] $image.builtAt; version = [string] $image.version; sourceHash = [string] $image.sourceHash; disk = [string] $image.disk }
            }
        }
    })
    return [ordered] @{ images = @($images) }
}
