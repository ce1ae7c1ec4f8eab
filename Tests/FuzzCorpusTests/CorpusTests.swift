import Foundation
import FuzzTargets
import Testing

/// Every seed of the fuzzers, and with them whatever they have found, is read as it should be.
@Suite(.timeLimit(.minutes(60))) struct CorpusTests {
    private static let corpora = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .appending(path: "Fuzz/Corpus")

    @Test(arguments: FuzzTarget.allCases)
    func seedsAreReadAsTheyShouldBe(target: FuzzTarget) throws {
        let folder = Self.corpora.appending(path: target.rawValue)
        let names = try FileManager.default.contentsOfDirectory(atPath: folder.path()).sorted()
        #expect(names.count >= 3, "a fuzzer begins with something")
        for name in names {
            let bytes = [UInt8](try Data(contentsOf: folder.appending(path: name)))
            #expect(throws: Never.self, "\(name)") { try target.run(bytes) }
        }
    }
}
