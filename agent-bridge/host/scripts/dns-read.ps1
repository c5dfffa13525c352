# Records of some names, asked of every server by itself.
. (Join-Path $PSScriptRoot 'common.ps1')

Invoke-NcScript {
    param($in)
    . (Join-Path $PSScriptRoot 'dns-common.ps1')
    $servers = @($in.servers | ForEach-Object {
        $server = [string] $_
        [ordered] @{
            server = $server
            serial = Get-NcSerial $server $in.zone
            records = @($in.names | ForEach-Object { Get-NcRecords $server $in.zone ([string] $_) })
        }
    })
    return [ordered] @{ servers = @($servers) }
}
