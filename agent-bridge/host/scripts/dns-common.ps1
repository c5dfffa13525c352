# Records in the form that the bridge reads. The cmdlets of DnsServer are functions, which do not see the script's
# $ErrorActionPreference: each call says -ErrorAction Stop itself.

function Get-NcData($record) {
    switch ([string] $record.RecordType) {
        'A' { return [string] $record.RecordData.IPv4Address }
        'AAAA' { return [string] $record.RecordData.IPv6Address }
        'CNAME' { return ([string] $record.RecordData.HostNameAlias).TrimEnd('.').ToLowerInvariant() }
        default { return '' }
    }
}

# A name without records is an error; so is a server that does not answer, and that must not look like "no records".
# The zone as a whole tells them apart.
function Get-NcRecords([string] $server, [string] $zone, [string] $name) {
    try { $all = DnsServer\Get-DnsServerResourceRecord -ComputerName $server -ZoneName $zone -Name $name -ErrorAction Stop }
    catch { $all = DnsServer\Get-DnsServerResourceRecord -ComputerName $server -ZoneName $zone -ErrorAction Stop }
    return @($all | Where-Object { $_ -and [string] $_.HostName -eq $name } | ForEach-Object {
        [ordered] @{ name = $name; type = [string] $_.RecordType; ttl = [int] $_.TimeToLive.TotalSeconds; data = Get-NcData $_ }
    })
}

function Get-NcSerial([string] $server, [string] $zone) {
    $soa = DnsServer\Get-DnsServerResourceRecord -ComputerName $server -ZoneName $zone -RRType Soa -Node -ErrorAction Stop | Select-Object -First 1
    return [string] $soa.RecordData.SerialNumber
}
