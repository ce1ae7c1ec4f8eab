#if Libvirt
import Foundation
import Glibc
import Synchronization
import Testing

@testable import LibvirtBackend

/// The file that a module is made of.
@Suite(.timeLimit(.minutes(60))) struct ModuleFileTests {
    private let path: String

    /// In a folder of this user's: a file is given to whom its folder belongs.
    init() throws {
        try TestRoot.root.prepare()
        path = TestRoot.root.path + "/file-\(UUID())"
    }

    private func makeFile(size: UInt64 = 1 << 20) throws -> ModuleFile {
        try ModuleFile(path: path, size: size, gate: OpenGate())
    }

    /// Whoever opens the file while it is asked for breaks the lease, and the kernel has a signal for that which ends a process.
    @Test func whoOpensTheFileEndsNobody() throws {
        let file = try makeFile()
        defer { file.remove() }
        let isOver = Atomic(false)
        let path = path
        let (begun, done) = (DispatchSemaphore(value: 0), DispatchSemaphore(value: 0))
        Foundation.Thread.detachNewThread {
            begun.signal()
            while !isOver.load(ordering: .relaxed) {
                let other = unsafe open(path, O_RDWR | O_NONBLOCK | O_CLOEXEC)
                if other >= 0 { close(other) }
            }
            done.signal()
        }
        begun.wait()
        var answers: [Bool: Int] = [:]
        for _ in 0..<200_000 { answers[try file.isOurs(), default: 0] += 1 }
        isOver.store(true, ordering: .relaxed)
        done.wait()
        #expect(answers.values.reduce(0, +) == 200_000)
        #expect(try file.isOurs())
    }

    /// Neither children nor core dumps have this process's window on the guest's memory, whatever is closed of it.
    @Test func aWindowIsKeptFromChildrenAndCores() throws {
        let file = try makeFile()
        defer { file.remove() }
        try file.protect(offset: 4096, length: 4096, isOpen: false)
        let smaps = try #require(FileHandle(forReadingAtPath: "/proc/self/smaps"))
        let lines = String(decoding: try smaps.readToEnd() ?? Data(), as: UTF8.self).split(separator: "\n")
        var flags: [Set<Substring>] = []
        var isOurs = false
        for line in lines {
            let words = line.split(separator: " ")
            // The head of a mapping, and its last line.
            if words[0].contains("-") { isOurs = words.last.map { $0 == path } ?? false }
            if words[0] == "VmFlags:", isOurs { flags.append(Set(words.dropFirst())) }
        }
        #expect(flags.count == 3)
        #expect(flags.allSatisfy { $0.isSuperset(of: ["dc", "dd"]) })
    }

    /// The record is written through a mapping: a store that finds no memory would be the end of the process.
    @Test func theRecordHasItsMemoryFromTheBeginning() throws {
        let file = try makeFile(size: 1 << 30)
        defer { file.remove() }
        #expect(try file.backedBytes() == 0)
        var status = stat()
        #expect(unsafe stat(path + ".record", &status) == 0)
        #expect(status.st_size == 4096)
        #expect(status.st_blocks * 512 >= status.st_size)
    }
}
#endif
