# One PowerShell that stays open for reads; see session.ts of the bridge. It reads this file in once, and is then told
# `Invoke-NcWarm` for each read: nothing else is ever sent to it, and what a read is about is in a file.
# NOT YET RUN ON WINDOWS; see common.ps1.

function Invoke-NcWarm {
    Set-StrictMode -Version 2.0
    $ErrorActionPreference = 'Stop'
    $nonce = ''
    # Seen by common.ps1: in a session, stdin and the process are not the script's.
    $NcWarm = @{ Text = ''; ExitCode = 1 }
    try {
        $global:Error.Clear()
        $path = $ExecutionContext.SessionState.Path
        [void] $path.SetLocation([System.Management.Automation.WildcardPattern]::Escape($PSScriptRoot))
        # "<nonce> <script>", then the document that a child gets on stdin.
        $head, $NcWarm.Text = [System.IO.File]::ReadAllText($env:NODE_CYCLE_REQUEST).Split([char[]] @(10), 2)
        $nonce, $name = $head.Split([char[]] @(32), 2)
        switch ($name) {
            'disk-parents' { & (Join-Path $PSScriptRoot 'disk-parents.ps1') | Out-Null }
            'dns-read' { & (Join-Path $PSScriptRoot 'dns-read.ps1') | Out-Null }
            'host-info' { & (Join-Path $PSScriptRoot 'host-info.ps1') | Out-Null }
            'image-list' { & (Join-Path $PSScriptRoot 'image-list.ps1') | Out-Null }
            'vm-list' { & (Join-Path $PSScriptRoot 'vm-list.ps1') | Out-Null }
            default { throw 'Only reads run in a session.' }
        }
    }
    catch { [Console]::Error.WriteLine([string] $_) }
    $end = [System.Text.Encoding]::ASCII.GetBytes("`n##NC-END " + $nonce + ' ' + $NcWarm.ExitCode + "`n")
    $stream = [Console]::OpenStandardOutput()
    $stream.Write($end, 0, $end.Length)
    $stream.Flush()
}
