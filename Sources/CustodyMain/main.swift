import CustodyTool

CommandLineTool.main()
