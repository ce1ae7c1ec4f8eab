import ArgumentParser
import Foundation

/// The program that draws graphs.
enum Graphviz {
    /// Draws a graph.
    ///
    /// - Throws: `ExitCode.unavailable`, after a line that says what to install, where Graphviz is not there.
    static func svg(_ graph: String) throws -> String {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
        process.arguments = ["dot", "-Tsvg"]
        let input = Pipe()
        let output = Pipe()
        process.standardInput = input
        process.standardOutput = output
        try process.run()
        // A program that ends before it has read the graph is an error below.
        try? input.fileHandleForWriting.write(contentsOf: Data(graph.utf8))
        try input.fileHandleForWriting.close()
        let drawing = output.fileHandleForReading.readDataToEndOfFile()
        process.waitUntilExit()
        guard process.terminationStatus == 0, !drawing.isEmpty else {
            report("custody: ‘dot’ could not draw the graph; is the Debian package graphviz installed?")
            throw ExitCode.unavailable
        }
        return String(decoding: drawing, as: UTF8.self)
    }
}
