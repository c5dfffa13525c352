# What each stand-in cmdlet does to the zones of the world. Error ids are the DNS server's own numbers.

function Find-Zone($world, $bound) {
    $server = Get-Field $world.dns $bound['ComputerName'] $null
    if ($null -eq $server -or (Get-Field $server 'unreachable' $false)) {
        throw (New-Failure 'WIN32 1722' 'ConnectionError' ('Failed to reach the server ' + $bound['ComputerName'] + ': the RPC server is unavailable.') $bound['ComputerName'])
    }
    if (Get-Field $server 'denied' $false) { throw (New-Failure 'WIN32 5' 'PermissionDenied' 'Access is denied.' $bound['ComputerName']) }
    $zone = Get-Field $server.zones $bound.ZoneName $null
    if ($null -eq $zone) { throw (New-Failure 'WIN32 9601' 'ObjectNotFound' ('The zone ' + $bound.ZoneName + ' was not found on server ' + $bound['ComputerName'] + '.') $bound.ZoneName) }
    return $zone
}

function New-Record($record) {
    $data = switch ($record.type) {
        'A' { [pscustomobject] @{ IPv4Address = [System.Net.IPAddress]::Parse($record.data) } }
        'AAAA' { [pscustomobject] @{ IPv6Address = [System.Net.IPAddress]::Parse($record.data) } }
        'CNAME' { [pscustomobject] @{ HostNameAlias = $record.data + '.' } }
        'SOA' { [pscustomobject] @{ SerialNumber = [uint32] $record.data; PrimaryServer = 'dc1.example.test.' } }
        default { [pscustomobject] @{ Data = $record.data } }
    }
    $made = [pscustomobject] @{ HostName = $record.name; RecordType = $record.type; TimeToLive = [timespan]::FromSeconds($record.ttl); RecordData = $data; DistinguishedName = '' }
    return $made
}

function Invoke-GetDnsServerResourceRecord($world, $set, $bound) {
    $zone = Find-Zone $world $bound
    $soa = [pscustomobject] @{ name = '@'; type = 'SOA'; ttl = 3600; data = $zone.serial }
    $all = @($soa) + @($zone.records)
    if ($bound.ContainsKey('Name')) {
        $name = $bound.Name
        # Without -Node also what lies below the name.
        $all = @($all | Where-Object { $_.name -eq $name -or (-not $bound['Node'] -and $_.name.EndsWith('.' + $name, [StringComparison]::OrdinalIgnoreCase)) })
        if ($all.Count -eq 0) { throw (New-Failure 'WIN32 9714' 'ObjectNotFound' ('Failed to get ' + $name + ' record in ' + $bound.ZoneName + ' zone on ' + $bound['ComputerName'] + ' server.') $name) }
    }
    elseif ($bound['Node']) { $all = @($all | Where-Object { $_.name -eq '@' }) }
    if ($bound.ContainsKey('RRType')) { $all = @($all | Where-Object { $_.type -eq $bound.RRType }) }
    foreach ($record in $all) { New-Record $record }
}

function Add-Record($world, $bound, [string] $type, $values) {
    $zone = Find-Zone $world $bound
    foreach ($value in $values) {
        $same = @($zone.records | Where-Object { $_.name -eq $bound.Name })
        if (@($same | Where-Object { $_.type -eq $type -and $_.data -eq $value }).Count -gt 0) { throw (New-Failure 'WIN32 9711' 'ResourceExists' ('Failed to create resource record ' + $bound.Name + ' in zone ' + $bound.ZoneName + ': it exists.') $bound.Name) }
        if ($same.Count -gt 0 -and ($type -eq 'CNAME' -or @($same | Where-Object { $_.type -eq 'CNAME' }).Count -gt 0)) { throw (New-Failure 'WIN32 9709' 'InvalidOperation' 'A CNAME stands alone.' $bound.Name) }
        $ttl = if ($bound.ContainsKey('TimeToLive')) { [int] $bound.TimeToLive.TotalSeconds } else { 3600 }
        $zone.records = @($zone.records) + [pscustomobject] @{ name = $bound.Name; type = $type; ttl = $ttl; data = $value }
        $zone.serial += 1
    }
    Save-World $world
}

function Invoke-AddDnsServerResourceRecordA($world, $set, $bound) { Add-Record $world $bound 'A' @($bound.IPv4Address | ForEach-Object { [string] $_ }) }
function Invoke-AddDnsServerResourceRecordAAAA($world, $set, $bound) { Add-Record $world $bound 'AAAA' @($bound.IPv6Address | ForEach-Object { [string] $_ }) }
function Invoke-AddDnsServerResourceRecordCName($world, $set, $bound) { Add-Record $world $bound 'CNAME' @($bound.HostNameAlias.TrimEnd('.')) }

# Without -RecordData every record of that name and type goes.
function Invoke-RemoveDnsServerResourceRecord($world, $set, $bound) {
    $zone = Find-Zone $world $bound
    if (-not $bound['Force']) { throw (New-Object System.Management.Automation.PSInvalidOperationException('PowerShell is in NonInteractive mode. Read and Prompt functionality is not available.')) }
    $wanted = @(if ($bound.ContainsKey('RecordData')) { $bound.RecordData | ForEach-Object { $_.TrimEnd('.') } })
    $gone = @($zone.records | Where-Object { $_.name -eq $bound.Name -and $_.type -eq $bound.RRType -and ($wanted.Count -eq 0 -or $wanted -contains $_.data) })
    if ($gone.Count -eq 0) { throw (New-Failure 'WIN32 9701' 'ObjectNotFound' ('Failed to remove resource record ' + $bound.Name + ' in zone ' + $bound.ZoneName + ': there is none.') $bound.Name) }
    $zone.records = @($zone.records | Where-Object { $gone -notcontains $_ })
    $zone.serial += 1
    Save-World $world
}
