# Records in the form that the bridge reads. NOT YET RUN ON WINDOWS; see common.ps1.

function Get-NcData($record) {
    switch ([string] $record.RecordType) {
        'A' { return [string] $record.RecordData.IPv4Address }
        'AAAA' { return [string] $record.RecordData.IPv6Address }
        'CNAME' { return ([string] $record.RecordData.HostNameAlias).TrimEnd('.').ToLowerInvariant() }
        default { return '' }
    }
}

function Get-NcRecords([string] $server, [string] $zone, [string] $name) {
    $all = DnsServer\Get-DnsServerResourceRecord -ComputerName $server -ZoneName $zone -Name $name -ErrorAction SilentlyContinue
    return @($all | Where-Object { $_ -and [string] $_.HostName -eq $name } | ForEach-Object {
        [ordered] @{ name = $name; type = [string] $_.RecordType; ttl = [int] $_.TimeToLive.TotalSeconds; data = Get-NcData $_ }
    })
}

function Get-NcSerial([string] $server, [string] $zone) {
    $soa = DnsServer\Get-DnsServerResourceRecord -ComputerName $server -ZoneName $zone -RRType Soa -Node | Select-Object -First 1
    return [string] $soa.RecordData.SerialNumber
}
