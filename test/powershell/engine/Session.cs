// One runspace: the real language, providers and core cmdlets, and of the other modules only what Cmdlets/ has.
using System.Management.Automation;
using System.Management.Automation.Language;
using System.Management.Automation.Runspaces;
using System.Reflection;
using System.Text;

namespace NodeCycle.Engine;

public static class Session
{
    public static int RunFile(string file)
    {
        var path = Path.GetFullPath(file);
        if (!File.Exists(path))
        {
            Console.Error.WriteLine($"The argument '{file}' is not recognized as the name of a script file. Check the spelling of the name, or if a path was included, verify that the path is correct and try again.");
            return Program.BadCommandLine;
        }
        var host = new EngineHost();
        using var runspace = Open(host);
        using var shell = PowerShell.Create(runspace);
        shell.AddCommand(path).AddCommand("Out-Default");
        shell.Streams.Error.DataAdded += (_, added) => Console.Error.WriteLine(Text(shell.Streams.Error[added.Index]));
        try
        {
            shell.Invoke();
        }
        catch (Exception failure) when (ExitCodeOf(failure) is { } code)
        {
            return code;
        }
        catch (RuntimeException failure)
        {
            Console.Error.WriteLine(Text(failure.ErrorRecord));
            return 1;
        }
        return host.ExitCode ?? 0;
    }

    /// <summary>Each command is run when it is complete, as if somebody had typed it.</summary>
    public static int RunCommands(Stream input)
    {
        var host = new EngineHost();
        using var runspace = Open(host);
        using var reader = new StreamReader(input, new UTF8Encoding(false));
        var pending = new StringBuilder();
        while (reader.ReadLine() is { } line)
        {
            pending.AppendLine(line);
            Parser.ParseInput(pending.ToString(), out _, out var errors);
            if (errors.Any(error => error.IncompleteInput) && line.Trim() != "") continue;
            var command = pending.ToString();
            pending.Clear();
            using var shell = PowerShell.Create(runspace);
            shell.AddScript(command).AddCommand("Out-Default");
            try
            {
                shell.Invoke();
            }
            catch (Exception failure) when (ExitCodeOf(failure) is { } code)
            {
                return code;
            }
            catch (RuntimeException failure)
            {
                Console.Error.WriteLine(Text(failure.ErrorRecord));
            }
            foreach (var error in shell.Streams.Error) Console.Error.WriteLine(Text(error));
            if (host.ExitCode is { } wanted) return wanted;
        }
        return 0;
    }

    private static Runspace Open(EngineHost host)
    {
        var state = InitialSessionState.CreateDefault2();
        state.ThreadOptions = PSThreadOptions.UseCurrentThread;
        foreach (var type in Assembly.GetExecutingAssembly().GetTypes())
        {
            if (type.GetCustomAttribute<CmdletAttribute>() is not { } cmdlet) continue;
            var name = cmdlet.VerbName + "-" + cmdlet.NounName;
            state.Commands.Add(new SessionStateCmdletEntry(name, type, null));
        }
        var runspace = RunspaceFactory.CreateRunspace(host, state);
        runspace.Open();
        Runspace.DefaultRunspace = runspace;
        LetExitThrough(runspace);
        return runspace;
    }

    // Without this, `exit 3` in a script only sets $LASTEXITCODE, which a native program sets too. pwsh sets the same.
    private static void LetExitThrough(Runspace runspace)
    {
        const BindingFlags anywhere = BindingFlags.Instance | BindingFlags.NonPublic | BindingFlags.Public;
        var context = runspace.GetType().GetProperty("ExecutionContext", anywhere)!.GetValue(runspace)!;
        context.GetType().GetProperty("ScriptCommandProcessorShouldRethrowExit", anywhere)!.SetValue(context, true);
    }

    private static int? ExitCodeOf(Exception failure)
    {
        for (Exception? one = failure; one is not null; one = one.InnerException)
        {
            if (one is not ExitException exit) continue;
            var argument = PSObject.AsPSObject(exit.Argument ?? 0).BaseObject;
            return LanguagePrimitives.TryConvertTo<int>(argument, out var code) ? code : 0;
        }
        return null;
    }

    private static string Text(ErrorRecord error)
    {
        var where = error.InvocationInfo is { } call && call.PositionMessage != "" ? "\n" + call.PositionMessage : "";
        return $"{error}{where}\n    + FullyQualifiedErrorId : {error.FullyQualifiedErrorId}";
    }
}
