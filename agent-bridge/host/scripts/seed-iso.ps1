# The NoCloud seed: an ISO 9660 + Joliet image with the volume name cidata, made by Windows' own IMAPI.
# NOT YET RUN ON WINDOWS; see common.ps1.

Add-Type -TypeDefinition @'
using System;
using System.IO;
using System.Runtime.InteropServices;
using System.Runtime.InteropServices.ComTypes;
public static class NcStream {
    [DllImport("shlwapi.dll", EntryPoint = "SHCreateMemStream")]
    static extern IntPtr SHCreateMemStream(byte[] bytes, uint length);
    public static object FromBytes(byte[] bytes) {
        IntPtr pointer = SHCreateMemStream(bytes, (uint) bytes.Length);
        try { return Marshal.GetObjectForIUnknown(pointer); } finally { Marshal.Release(pointer); }
    }
    public static void ToFile(object source, string path) {
        IStream stream = (IStream) source;
        byte[] buffer = new byte[65536];
        IntPtr read = Marshal.AllocHGlobal(4);
        try {
            using (FileStream file = new FileStream(path, FileMode.CreateNew)) {
                for (;;) {
                    stream.Read(buffer, buffer.Length, read);
                    int count = Marshal.ReadInt32(read);
                    if (count == 0) break;
                    file.Write(buffer, 0, count);
                }
            }
        } finally { Marshal.FreeHGlobal(read); }
    }
}
'@

function New-NcSeedIso([string] $path, $files) {
    $image = New-Object -ComObject IMAPI2FS.MsftFileSystemImage
    # 1 = ISO 9660, 2 = Joliet: cloud-init needs the long names.
    $image.FileSystemsToCreate = 3
    $image.VolumeName = 'cidata'
    foreach ($name in $files.Keys) {
        $bytes = $script:NcUtf8.GetBytes([string] $files[$name])
        $image.Root.AddFile([string] $name, [NcStream]::FromBytes($bytes))
    }
    [NcStream]::ToFile($image.CreateResultImage().ImageStream, $path)
}
