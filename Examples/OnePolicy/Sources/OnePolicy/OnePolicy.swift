import Custody
import CustodyOptions
import CustodyConfiguration
import Glibc
import KVMBackend
import SimulationBackend

#if Libvirt
    import LibvirtBackend
#endif

/// Asks the same of every back end under the same policy, and shows the decisions side by side.
///
/// Without arguments, the configurations beside the package are used. The first one that is available is what the others
/// are held against. Exit codes: 0 when every difference is one of a capability, which is named; 1 when one is not.
@main
struct OnePolicy {
    static func main() throws {
        var files = Array(CommandLine.arguments.dropFirst())
        if files.isEmpty { files = ["simulation.yaml", "kvm.yaml", "libvirt.yaml"].map { "Examples/OnePolicy/" + $0 } }
        var providers: [any BackendProvider] = [SimulationProvider(), KVMBackendProvider()]
        #if Libvirt
            providers.append(LibvirtProvider())
        #endif
        let registry = BackendRegistry(providers)

        var columns: [Column] = []
        var missing: [String] = []
        for file in files {
            do {
                let configuration = try Configuration(ConfigurationFile.read(file), registry: registry)
                let backend = try configuration.makeBackend()
                columns.append(try Column(configuration, backend, Question.all))
            } catch let error as BackendCreationError {
                missing.append("no column for \(file): \(error)")
            } catch let error as ConfigurationError where error.message.hasPrefix("unknown back end") {
                missing.append("no column for \(file): this program was built without it. \(error.message)")
            }
        }

        show(columns)
        for line in missing { print(line) }
        let differences = columns.dropFirst().flatMap { Comparison(columns[0], $0, Question.all).differences }
        for difference in differences {
            print(
                "line \(difference.line) differs, \(difference.columns.0) / \(difference.columns.1): "
                    + (difference.explanation ?? "no capability explains it")
            )
        }
        let unexplained = differences.count { $0.explanation == nil }
        print(
            "\(Question.all.count) decisions on \(columns.map(\.name).joined(separator: ", ")): "
                + "\(differences.count) differ, \(unexplained) unexplained"
        )
        exit(unexplained > 0 ? 1 : 0)
    }

    private static func show(_ columns: [Column]) {
        var rows = [["", "asked"] + columns.map(\.name)]
        for (index, question) in Question.all.enumerated() {
            rows.append(["\(index + 1)", question.text] + columns.map { $0.cells[index].text })
        }
        let widths = rows[0].indices.map { column in rows.map { $0[column].count }.max() ?? 0 }
        for row in rows {
            let cells = zip(row, widths).map { $0 + String(repeating: " ", count: $1 - $0.count) }
            print(cells.joined(separator: "  "))
        }
        print("")
    }
}
