# Adds and removes single records of one set, only when it is still the expected one.
# NOT YET RUN ON WINDOWS; see common.ps1.
. (Join-Path $PSScriptRoot 'common.ps1')

Invoke-NcScript {
    param($in)
    . (Join-Path $PSScriptRoot 'dns-common.ps1')
    $mine = @(Get-NcRecords $in.server $in.zone $in.name | Where-Object { $_.type -eq $in.type })
    $now = @($mine | ForEach-Object { $_.data } | Sort-Object)
    $expected = @($in.expect | Sort-Object)
    if (($now -join ' ') -cne ($expected -join ' ')) { Stop-NcWith 'setChanged' }
    $ttl = New-TimeSpan -Seconds ([int] $in.ttlSeconds)
    # A CNAME cannot stand beside another: there the old one goes first.
    $adding = {
        foreach ($data in @($in.add)) {
            if ($in.type -eq 'A') { DnsServer\Add-DnsServerResourceRecordA -ComputerName $in.server -ZoneName $in.zone -Name $in.name -IPv4Address $data -TimeToLive $ttl }
            else { DnsServer\Add-DnsServerResourceRecordCName -ComputerName $in.server -ZoneName $in.zone -Name $in.name -HostNameAlias ($data + '.') -TimeToLive $ttl }
        }
    }
    if ($in.type -eq 'A') { & $adding }
    foreach ($data in @($in.remove)) {
        # Without -RecordData every record of the name would go.
        $target = if ($in.type -eq 'A') { $data } else { $data + '.' }
        DnsServer\Remove-DnsServerResourceRecord -ComputerName $in.server -ZoneName $in.zone -Name $in.name -RRType $in.type -RecordData $target -Force
    }
    if ($in.type -ne 'A') { & $adding }
    $after = @(Get-NcRecords $in.server $in.zone $in.name | Where-Object { $_.type -eq $in.type })
    return [ordered] @{ serial = Get-NcSerial $in.server $in.zone; records = @($after) }
}
