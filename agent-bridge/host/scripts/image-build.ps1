# Runs packer in a folder of this job, takes its disk over, and says so in image.json as the last act.
# NOT YET RUN ON WINDOWS; see common.ps1.
. (Join-Path $PSScriptRoot 'common.ps1')

Invoke-NcScript {
    param($in)
    New-Item -ItemType Directory -Path $in.workFolder -Force | Out-Null
    New-Item -ItemType Directory -Path $in.folder -Force | Out-Null
    # Only our variables: whatever the machine sets could change the build.
    foreach ($name in @(Get-ChildItem Env: | ForEach-Object { $_.Name } | Where-Object { $_ -like 'PKR_VAR_*' -or $_ -like 'HCP_*' })) { Remove-Item -LiteralPath ('Env:' + $name) }
    foreach ($variable in $in.variables.PSObject.Properties) { Set-Item -LiteralPath ('Env:PKR_VAR_' + $variable.Name) -Value ([string] $variable.Value) }
    Push-Location -LiteralPath $in.workFolder
    # A native program's stderr must not become an exception.
    $ErrorActionPreference = 'Continue'
    & $in.packer build -machine-readable -color=false -on-error=cleanup $in.template 2>&1 | ForEach-Object { [Console]::Out.WriteLine([string] $_) }
    $code = $LASTEXITCODE
    $ErrorActionPreference = 'Stop'
    Pop-Location
    if ($code -ne 0) { throw ('packer ended with ' + $code) }

    $built = @(Get-ChildItem -LiteralPath $in.variables.output_directory -Recurse -Filter '*.vhdx' -File)
    if ($built.Count -ne 1) { throw ('expected one disk from packer, found ' + $built.Count) }
    $disk = Join-Path $in.folder ($in.version + '.vhdx')
    Move-Item -LiteralPath $built[0].FullName -Destination $disk
    (Get-Item -LiteralPath $disk).IsReadOnly = $true
    $builtAt = Get-NcTime ([DateTime]::UtcNow)
    $image = [ordered] @{ id = $in.id; builtAt = $builtAt; version = $in.version; sourceHash = $in.sourceHash; disk = $disk }
    $temporary = Join-Path $in.folder 'image.json.new'
    [System.IO.File]::WriteAllText($temporary, (ConvertTo-Json -InputObject $image -Depth 4), $script:NcUtf8)
    Move-Item -LiteralPath $temporary -Destination (Join-Path $in.folder 'image.json') -Force
    return [ordered] @{ id = $in.id; builtAt = $builtAt; version = $in.version; disk = $disk }
}
