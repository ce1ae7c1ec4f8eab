#if Libvirt
import Foundation

@testable import LibvirtBackend

extension XMLElement {
    /// Holds a domain's description against libvirt's own schema, as it is installed.
    func validated() throws -> (code: Int32, output: String) {
        let file = FileManager.default.temporaryDirectory.appending(component: "custody-\(UUID()).xml")
        defer { try? FileManager.default.removeItem(at: file) }
        try text.write(to: file, atomically: true, encoding: .utf8)
        let process = Process()
        let output = Pipe()
        process.executableURL = URL(filePath: "/usr/bin/virt-xml-validate")
        process.arguments = [file.path, "domain"]
        process.standardOutput = output
        process.standardError = output
        try process.run()
        let text = try output.fileHandleForReading.readToEnd() ?? Data()
        process.waitUntilExit()
        return (process.terminationStatus, String(decoding: text, as: UTF8.self))
    }
}

#endif
