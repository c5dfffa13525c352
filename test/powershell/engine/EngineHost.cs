// What a host must be for the engine: output goes to the console's streams, questions are refused (-NonInteractive).
using System.Collections.ObjectModel;
using System.Globalization;
using System.Management.Automation;
using System.Management.Automation.Host;
using System.Security;

namespace NodeCycle.Engine;

public sealed class EngineHost : PSHost
{
    private readonly EngineInterface ui = new();

    public int? ExitCode { get; private set; }
    public override string Name => "ConsoleHost";
    public override Version Version => typeof(PSObject).Assembly.GetName().Version!;
    public override Guid InstanceId { get; } = Guid.NewGuid();
    public override PSHostUserInterface UI => ui;
    public override CultureInfo CurrentCulture => CultureInfo.InvariantCulture;
    public override CultureInfo CurrentUICulture => CultureInfo.InvariantCulture;
    public override void SetShouldExit(int exitCode) => ExitCode = exitCode;
    public override void EnterNestedPrompt() => throw Refused();
    public override void ExitNestedPrompt() => throw Refused();
    public override void NotifyBeginApplication() { }
    public override void NotifyEndApplication() { }

    internal static PSInvalidOperationException Refused() =>
        new("PowerShell is in NonInteractive mode. Read and Prompt functionality is not available.");
}

public sealed class EngineInterface : PSHostUserInterface
{
    public override PSHostRawUserInterface? RawUI => null;
    public override void Write(string value) => Console.Out.Write(value);
    public override void Write(ConsoleColor foregroundColor, ConsoleColor backgroundColor, string value) => Console.Out.Write(value);
    public override void WriteLine(string value) => Console.Out.WriteLine(value);
    public override void WriteErrorLine(string value) => Console.Error.WriteLine(value);
    public override void WriteDebugLine(string message) => Console.Out.WriteLine("DEBUG: " + message);
    public override void WriteVerboseLine(string message) => Console.Out.WriteLine("VERBOSE: " + message);
    public override void WriteWarningLine(string message) => Console.Out.WriteLine("WARNING: " + message);
    public override void WriteProgress(long sourceId, ProgressRecord record) { }
    public override string ReadLine() => throw EngineHost.Refused();
    public override SecureString ReadLineAsSecureString() => throw EngineHost.Refused();
    public override Dictionary<string, PSObject> Prompt(string caption, string message, Collection<FieldDescription> descriptions) => throw EngineHost.Refused();
    public override int PromptForChoice(string caption, string message, Collection<ChoiceDescription> choices, int defaultChoice) => throw EngineHost.Refused();
    public override PSCredential PromptForCredential(string caption, string message, string userName, string targetName) => throw EngineHost.Refused();
    public override PSCredential PromptForCredential(string caption, string message, string userName, string targetName, PSCredentialTypes allowedCredentialTypes, PSCredentialUIOptions options) => throw EngineHost.Refused();
}
