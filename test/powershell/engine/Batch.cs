// Several scripts one after another in one start: each has a runspace, an environment and standard streams of its own,
// so a script is run exactly as with -File; only the start of the process is shared. Not on Windows (dup2).
using System.Collections;
using System.Diagnostics;
using System.Runtime.InteropServices;
using System.Text;
using Newtonsoft.Json.Linq;

namespace NodeCycle.Engine;

public static class Batch
{
    [DllImport("libc", SetLastError = true)]
    private static extern int dup2(int from, int to);

    public static int Run(string requestsFile, string resultsFile)
    {
        var folder = Directory.GetCurrentDirectory();
        var scratch = Directory.CreateTempSubdirectory("engine-batch-");
        var results = new JArray();
        var environment = Environment.GetEnvironmentVariables();
        foreach (var request in JArray.Parse(File.ReadAllText(requestsFile)))
        {
            foreach (var pair in (JObject)request["env"]!) Environment.SetEnvironmentVariable(pair.Key, (string?)pair.Value);
            var input = Path.Combine(scratch.FullName, "in");
            File.WriteAllBytes(input, Convert.FromBase64String((string)request["stdin"]!));
            string output = Path.Combine(scratch.FullName, "out"), errors = Path.Combine(scratch.FullName, "err");
            var clock = Stopwatch.StartNew();
            Redirect(0, new FileStream(input, FileMode.Open, FileAccess.Read));
            Redirect(1, new FileStream(output, FileMode.Create, FileAccess.Write));
            Redirect(2, new FileStream(errors, FileMode.Create, FileAccess.Write));
            Reopen();
            var code = Session.RunFile((string)request["file"]!);
            results.Add(new JObject
            {
                ["exitCode"] = code,
                ["stdout"] = Convert.ToBase64String(File.ReadAllBytes(output)),
                ["stderr"] = Convert.ToBase64String(File.ReadAllBytes(errors)),
                ["ms"] = clock.ElapsedMilliseconds,
            });
            Restore(environment);
            Directory.SetCurrentDirectory(folder);
        }
        scratch.Delete(true);
        File.WriteAllText(resultsFile, results.ToString());
        return 0;
    }

    private static void Redirect(int descriptor, FileStream file)
    {
        using (file)
        {
            if (dup2(file.SafeFileHandle.DangerousGetHandle().ToInt32(), descriptor) < 0) throw new IOException("dup2 failed");
        }
    }

    // The console's own writers hold a copy of the descriptor that they were opened on.
    private static void Reopen()
    {
        var utf8 = new UTF8Encoding(false);
        Console.SetOut(new StreamWriter(Console.OpenStandardOutput(), utf8) { AutoFlush = true });
        Console.SetError(new StreamWriter(Console.OpenStandardError(), utf8) { AutoFlush = true });
    }

    private static void Restore(IDictionary before)
    {
        foreach (string name in Environment.GetEnvironmentVariables().Keys)
        {
            if (!before.Contains(name)) Environment.SetEnvironmentVariable(name, null);
        }
        foreach (DictionaryEntry entry in before) Environment.SetEnvironmentVariable((string)entry.Key, (string?)entry.Value);
    }
}
