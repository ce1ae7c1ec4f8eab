#if Libvirt
import Custody
import Foundation

/// The Linux guest of `Scripts/linux-guest`: where its kernel and its initial file system are.
struct LinuxGuest {
    let kernel: String
    let initialFileSystem: String

    /// Makes it where it is not there; `CUSTODY_LINUX_GUEST` names a folder that has it.
    init() throws {
        let folder = try ProcessInfo.processInfo.environment["CUSTODY_LINUX_GUEST"] ?? LinuxGuest.build()
        kernel = folder + "/vmlinuz"
        initialFileSystem = folder + "/initramfs"
    }

    private static func build() throws -> String {
        let script = Process()
        let output = Pipe()
        var package = URL(filePath: #filePath)
        for _ in 0..<4 { package.deleteLastPathComponent() }
        script.executableURL = package.appending(path: "Scripts/linux-guest")
        script.standardOutput = output
        try script.run()
        let text = try output.fileHandleForReading.readToEnd() ?? Data()
        script.waitUntilExit()
        let lines = String(decoding: text, as: UTF8.self).split(separator: "\n")
        guard script.terminationStatus == 0, let path = lines.last else {
            throw BackendError(.unavailable, "the Linux guest was not made (exit code \(script.terminationStatus))")
        }
        return String(path)
    }
}

#endif
