# Adds and removes single records of one set, only when it is still the expected one.
. (Join-Path $PSScriptRoot 'common.ps1')

Invoke-NcScript {
    param($in)
    . (Join-Path $PSScriptRoot 'dns-common.ps1')
    $mine = @(Get-NcRecords $in.server $in.zone $in.name | Where-Object { $_.type -eq $in.type })
    $now = @($mine | ForEach-Object { $_.data } | Sort-Object)
    $expected = @($in.expect | Sort-Object)
    if (-not (Test-NcSame ($now -join ' ') ($expected -join ' '))) { Stop-NcWith 'setChanged' }
    $ttl = New-TimeSpan -Seconds ([int] $in.ttlSeconds)
    $adding = {
        param($values)
        foreach ($data in @($values)) {
            if ($in.type -eq 'A') { DnsServer\Add-DnsServerResourceRecordA -ComputerName $in.server -ZoneName $in.zone -Name $in.name -ErrorAction Stop -IPv4Address $data -TimeToLive $ttl }
            elseif ($in.type -eq 'AAAA') { DnsServer\Add-DnsServerResourceRecordAAAA -ComputerName $in.server -ZoneName $in.zone -Name $in.name -ErrorAction Stop -IPv6Address $data -TimeToLive $ttl }
            else { DnsServer\Add-DnsServerResourceRecordCName -ComputerName $in.server -ZoneName $in.zone -Name $in.name -ErrorAction Stop -HostNameAlias ($data + '.') -TimeToLive $ttl }
        }
    }
    if ($in.type -ne 'CNAME') { & $adding $in.add }
    foreach ($data in @($in.remove)) {
        # Without -RecordData every record of the name would go.
        $target = if ($in.type -eq 'CNAME') { $data + '.' } else { $data }
        DnsServer\Remove-DnsServerResourceRecord -ComputerName $in.server -ZoneName $in.zone -Name $in.name -ErrorAction Stop -RRType $in.type -RecordData $target -Force
    }
    # A CNAME cannot stand beside another: there the old one goes first, and comes back when the new one is refused.
    if ($in.type -eq 'CNAME') {
        try { & $adding $in.add }
        catch {
            $refused = $_
            & $adding $in.remove
            throw $refused
        }
    }
    $after = @(Get-NcRecords $in.server $in.zone $in.name | Where-Object { $_.type -eq $in.type })
    return [ordered] @{ serial = Get-NcSerial $in.server $in.zone; records = @($after) }
}
