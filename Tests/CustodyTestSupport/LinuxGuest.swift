import Custody
import Foundation

/// The Linux guest of `Scripts/linux-guest`: where its kernel, its initial file system and its agent are.
package struct LinuxGuest {
    /// Linux.
    package let kernel: String
    /// What it boots into.
    package let initialFileSystem: String
    /// The guest agent, a program of this machine, too.
    package let agent: String

    /// Makes it where it is not there; `CUSTODY_LINUX_GUEST` names a folder that has it.
    package init() throws {
        let folder = try ProcessInfo.processInfo.environment["CUSTODY_LINUX_GUEST"] ?? LinuxGuest.build()
        kernel = folder + "/vmlinuz"
        initialFileSystem = folder + "/initramfs"
        agent = folder + "/custody-agent"
    }

    private static func build() throws -> String {
        let script = Process()
        let output = Pipe()
        var package = URL(filePath: #filePath)
        for _ in 0..<3 { package.deleteLastPathComponent() }
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
