// What the compatibility check asks of a script, from the real parser: commands with their parameters, functions,
// node kinds, static members and types, and what the parser itself objects to.
using System.Management.Automation.Language;
using Newtonsoft.Json.Linq;

namespace NodeCycle.Engine;

public static class SyntaxTree
{
    public static int Print(IEnumerable<string> files)
    {
        Console.Out.WriteLine(new JArray(files.Select(Read)).ToString());
        return 0;
    }

    private static JObject Read(string file)
    {
        var tree = Parser.ParseInput(File.ReadAllText(file), file, out var tokens, out var errors);
        var nodes = tree.FindAll(_ => true, true).ToList();
        return new JObject
        {
            ["file"] = file,
            ["errors"] = Array(errors.Select(error => $"{error.Extent.StartLineNumber}: {error.Message}")),
            ["commands"] = new JArray(nodes.OfType<CommandAst>().Select(Command)),
            ["functions"] = Array(nodes.OfType<FunctionDefinitionAst>().Select(function => function.Name)),
            ["types"] = Array(nodes.OfType<TypeExpressionAst>().Select(type => type.TypeName.FullName)
                .Concat(nodes.OfType<TypeConstraintAst>().Select(type => type.TypeName.FullName)).Distinct()),
            ["members"] = Array(nodes.OfType<MemberExpressionAst>().Where(member => member.Static).Select(member => $"{member.Expression}::{member.Member}").Distinct()),
            ["nodes"] = Array(nodes.Select(node => node.GetType().Name).Distinct().Order()),
            ["tokens"] = Array(tokens.Select(token => token.Kind.ToString()).Distinct().Order()),
            // Newer syntax that is no node of its own.
            ["background"] = nodes.OfType<PipelineAst>().Any(pipeline => pipeline.Background),
            ["nullConditional"] = nodes.OfType<MemberExpressionAst>().Any(member => member.NullConditional) || nodes.OfType<IndexExpressionAst>().Any(index => index.NullConditional),
            ["clean"] = nodes.OfType<ScriptBlockAst>().Any(block => block.CleanBlock is not null),
        };
    }

    private static JObject Command(CommandAst command) => new()
    {
        // Null: the name is an expression, so a program or script block and not a cmdlet.
        ["name"] = command.GetCommandName(),
        ["line"] = command.Extent.StartLineNumber,
        ["operator"] = command.InvocationOperator.ToString(),
        ["parameters"] = Array(command.CommandElements.OfType<CommandParameterAst>().Select(parameter => parameter.ParameterName)),
        ["splatted"] = command.CommandElements.OfType<VariableExpressionAst>().Any(variable => variable.Splatted),
        ["positional"] = command.CommandElements.Skip(1).Where((element, index) => element is not CommandParameterAst
            && !(command.CommandElements[index] is CommandParameterAst { Argument: null })).Count(),
        ["text"] = command.Extent.Text,
    };

    private static JArray Array(IEnumerable<string> texts) => new(texts.Cast<object>().ToArray());
}
