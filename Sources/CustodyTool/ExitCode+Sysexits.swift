import ArgumentParser
import Custody
import CustodyFiles
import CustodyOptions
import CustodyTrace

/// The exit codes of sysexits.h that the tool uses beside 0 for success, 1 for a scenario that is not as expected, and 64
/// (`EX_USAGE`) for a command line that is wrong, which is ArgumentParser's `validationFailure`.
extension ExitCode {
    /// `EX_DATAERR`: a trace or a snapshot cannot be read.
    static let dataError = ExitCode(65)
    /// `EX_UNAVAILABLE`: what was named is not to be had on this machine.
    static let unavailable = ExitCode(69)
    /// `EX_IOERR`: a file, or a standard stream, does not take what is to be written.
    static let ioError = ExitCode(74)
    /// `EX_CONFIG`: a configuration or scenario file is wrong.
    static let configuration = ExitCode(78)

    /// Runs `body`, which writes the file at `path`; an error of it becomes a line and ``ioError``.
    static func writing<Value: ~Copyable>(_ path: String, _ body: () throws -> Value) throws -> Value {
        do {
            return try body()
        } catch let error as TraceError {
            report("\(error)")
        } catch let error as FileError {
            report("\(path): error: the file cannot be written: \(error)")
        }
        throw ioError
    }

    /// Runs `body`; an error of a file that is read, or of a back end, becomes a line and the code that belongs to it.
    static func reporting(_ body: () throws -> Void) throws {
        do {
            try body()
        } catch let error as ConfigurationError {
            throw refused(error)
        } catch let error as TraceError {
            report("\(error)")
            throw dataError
        } catch BackendCreationError.configuration(let error) {
            throw refused(error)
        } catch BackendCreationError.backend(let error) {
            report("custody: \(error)")
            throw unavailable
        } catch let error as BackendError {
            report("custody: \(error)")
            throw unavailable
        }
    }

    /// Says what is wrong; the code tells whether it is in a file or on the command line.
    private static func refused(_ error: ConfigurationError) -> ExitCode {
        report("\(error)")
        return error.location.origin == .option ? .validationFailure : configuration
    }
}
