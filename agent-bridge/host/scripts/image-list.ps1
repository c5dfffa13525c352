# The newest finished build of each image: image.json is written last, so what has none is not finished.
# NOT YET RUN ON WINDOWS; see common.ps1.
. (Join-Path $PSScriptRoot 'common.ps1')

Invoke-NcScript {
    param($in)
    $images = @($in.images | ForEach-Object {
        $file = Join-Path $_.folder 'image.json'
        if (Test-Path -LiteralPath $file -PathType Leaf) {
            $image = ConvertFrom-Json -InputObject ([System.IO.File]::ReadAllText($file, $script:NcUtf8))
            $builtAt = $image.builtAt
            # PowerShell 7 turns such a text into a date, 5.1 leaves it.
            if ($builtAt -is [DateTime]) { $builtAt = Get-NcTime $builtAt }
            [ordered] @{ id = [string] $_.id; builtAt = [string] $builtAt; version = [string] $image.version; sourceHash = [string] $image.sourceHash; disk = [string] $image.disk }
        }
    })
    return [ordered] @{ images = @($images) }
}
