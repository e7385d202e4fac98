-- Routes images from Orthanc to Overread, as a hospital's PACS would.
--
-- When a study has been quiet for "StableAge" seconds, its image series go to Overread: once for each number of
-- images, so that a series goes again when images were added, and never because our results arrived beside it.
-- Nothing that came from Overread is sent back: neither by modality (results are SEG and SR, which are not in
-- "Route") nor by origin (a series that holds an instance received from Overread's AE title stays here).
--
-- All parameters are in orthanc.json:
--   "Overread": { "Modality": symbolic name in "DicomModalities", "Route": list of modalities }
--   "UserMetadata": { "OverreadRouted": any number from 1024 }: how many images of a series were routed
--   "LuaHeartBeatPeriod": seconds between two looks at sendings that failed (Orthanc 1.11.1 or newer)

local MARK = 'OverreadRouted'

local function settings()
  local configuration = GetOrthancConfiguration()
  local own = configuration['Overread']
  local wanted = {}
  for _, modality in ipairs(own['Route']) do
    wanted[modality] = true
  end
  local peer = configuration['DicomModalities'][own['Modality']]
  -- Orthanc allows both the long and the short form: {"AET": ...} and [AET, host, port].
  return { name = own['Modality'], ae_title = peer['AET'] or peer[1], wanted = wanted }
end

local function read(uri)
  local answer = RestApiGet(uri)
  if answer == nil or answer == '' then
    return nil   -- deleted since
  end
  return ParseJson(answer)
end

local function metadata(uri)
  -- All of it at once: to ask for an entry that is not there is an error in Orthanc's log.
  return read(uri .. '/metadata?expand') or {}
end

local function came_from(ae_title, instances)
  for _, id in ipairs(instances) do
    if metadata('/instances/' .. id)['RemoteAET'] == ae_title then
      return true
    end
  end
  return false
end

-- The series of a study that have images which Overread has not been sent yet: series id to number of images.
local function new_images(study, overread)
  local found = {}
  for _, id in ipairs(study['Series']) do
    local series = read('/series/' .. id)
    if series ~= nil and overread.wanted[series['MainDicomTags']['Modality']] then
      local count = #series['Instances']
      local routed = tonumber(metadata('/series/' .. id)[MARK]) or 0
      if count > routed and not came_from(overread.ae_title, series['Instances']) then
        found[id] = count
      end
    end
  end
  return found
end

function OnStableStudy(studyId, tags, _)
  local overread = settings()
  local study = read('/studies/' .. studyId)
  if study == nil then
    return
  end
  local counts = new_images(study, overread)
  local resources = {}
  for id, _ in pairs(counts) do
    table.insert(resources, id)
  end
  if #resources == 0 then
    return
  end
  -- Asynchronous, because Orthanc runs one Lua function at a time and must stay free to receive. The job is kept in
  -- Orthanc's database, and OnHeartBeat tries again when it failed.
  RestApiPost('/modalities/' .. overread.name .. '/store',
    DumpJson({ Resources = resources, Asynchronous = true, Permissive = false }, true))
  for id, count in pairs(counts) do
    RestApiPut('/series/' .. id .. '/metadata/' .. MARK, tostring(count))
  end
  print('overread: study ' .. studyId .. ', ' .. #resources .. ' series on their way')
end

-- A sending that failed (Overread was down, or refused for want of space) is tried again.
function OnHeartBeat()
  local overread = settings()
  for _, job in ipairs(read('/jobs?expand') or {}) do
    if job['Type'] == 'DicomModalityStore' and job['State'] == 'Failure'
        and job['Content']['RemoteAet'] == overread.ae_title then
      RestApiPost('/jobs/' .. job['ID'] .. '/resubmit', '{}')
      print('overread: job ' .. job['ID'] .. ' is sent again')
    end
  end
end
