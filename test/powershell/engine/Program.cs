// Acts as pwsh does, as far as the bridge's scripts go:
//   -NoLogo -NoProfile -NonInteractive -ExecutionPolicy Bypass -File x.ps1     one script, stdin left to it
//   -NoLogo -NoProfile -NonInteractive -Command -                              commands on stdin, as node-powershell sends them
//   --parse FILES...                                                           their syntax trees as JSON
//   --batch REQUESTS RESULTS                                                   several -File runs, one after another, one start
//   --version
using System.Management.Automation;

namespace NodeCycle.Engine;

public static class Program
{
    /// <summary>As pwsh: no such script file, and a parameter it does not know.</summary>
    public const int BadCommandLine = 64;

    private static readonly string[] Switches = ["-nologo", "-noprofile", "-noninteractive", "-noexit"];

    public static int Main(string[] args)
    {
        switch (args.FirstOrDefault())
        {
            case "--version":
                Console.Out.WriteLine("PowerShell " + PSVersion());
                return 0;
            case "--parse":
                return SyntaxTree.Print(args.Skip(1));
            case "--batch":
                return Batch.Run(args[1], args[2]);
        }
        for (var i = 0; i < args.Length; i++)
        {
            var word = args[i].ToLowerInvariant();
            if (Switches.Contains(word)) continue;
            if (word == "-executionpolicy") i++;
            else if (word == "-file" && i == args.Length - 2) return Session.RunFile(args[i + 1]);
            else if (word == "-command" && i == args.Length - 2 && args[i + 1] == "-") return Session.RunCommands(Console.OpenStandardInput());
            else return Refuse(args[i]);
        }
        return Refuse("nothing to run");
    }

    private static string PSVersion() => typeof(PSObject).Assembly.GetName().Version!.ToString(3);

    private static int Refuse(string word)
    {
        Console.Error.WriteLine("The test engine does not know what to do with: " + word);
        return BadCommandLine;
    }
}
