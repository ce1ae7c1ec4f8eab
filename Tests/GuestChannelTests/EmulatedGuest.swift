import Custody
import Foundation
import GuestChannel

/// The micro guest in an emulator of its own, without anything that manages it. It ends with its owner.
final class EmulatedGuest {
    private let process = Process()
    private let folder: URL

    init() throws {
        folder = FileManager.default.temporaryDirectory.appending(path: "custody-\(UUID().uuidString.prefix(8))")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        try Data(MicroGuestImage.bytes()).write(to: folder.appending(path: "guest.bin"))
        process.executableURL = URL(filePath: "/usr/bin/qemu-system-x86_64")
        process.arguments = [
            "-machine", "pc,accel=tcg", "-m", "16M", "-nodefaults", "-display", "none",
            "-bios", "\(folder.path)/guest.bin",
        ]
        for name in ["console", "channel"] {
            process.arguments? += [
                "-chardev", "socket,id=\(name),path=\(folder.path)/\(name),server=on,wait=off",
                "-serial", "chardev:\(name)",
            ]
        }
        try process.run()
    }

    deinit {
        // It has the signal mask of the thread that started it, which may block everything that can be blocked.
        if process.isRunning { end() }
        try? FileManager.default.removeItem(at: folder)
    }

    /// A connection to its second line, as soon as the emulator listens.
    func connect() throws -> ChannelConnection {
        try whenThere { path throws(BackendError) in try ChannelConnection(path: path + "channel", granularity: .base) }
    }

    /// Its first line, likewise.
    func console() throws -> MicroGuestConsole {
        try whenThere { path throws(BackendError) in try MicroGuestConsole(path: path + "console") }
    }

    /// Ends the emulator.
    func end() {
        kill(process.processIdentifier, SIGKILL)
        process.waitUntilExit()
    }

    private func whenThere<End>(_ connect: (String) throws(BackendError) -> End) throws -> End {
        let deadline = ContinuousClock.now + .seconds(60)
        while true {
            do { return try connect(folder.path + "/") } catch {
                guard process.isRunning, ContinuousClock.now < deadline else { throw error }
                Thread.sleep(forTimeInterval: 0.01)
            }
        }
    }
}
