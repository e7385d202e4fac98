"""Surface area of masks by marching cubes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from worker.domain.volume import Geometry
from worker.inference.image import Mask

# For each of the 256 ways in which the eight corners of a cell can be inside, the triangles of the marching-cubes mesh
# at level 0.5 (Lorensen and Cline), three letters each. Bit 4a + 2b + c of the number is the corner (a, b, c). Letters
# a to d are the edges along axis 0 at (b, c) = (0, 0), (0, 1), (1, 0), (1, 1); e to h those along axis 1 at (a, c);
# i to l those along axis 2 at (a, b).
_TEXT = (
    "- eai bfi eaffab jce jciica ibfcej jcfcbfcab djf eaidjf djbbji eajadjabd fdeedc fdidaidca ibebcebdc dabcad "
    "agk iekkeg bfigka bfkfgkfeg gkajce gkckjckij fibgkacej cgkckbjcbfjb djfgka gkekiedjf djbjibgka bdjgbjegjkbg "
    "fdedcekag dcfckfkifkcg agkcibdcbeic cgkbckdcb khb khbeai khiihf khaheahfe khbcej jcicaihbk khihficej "
    "hfjahjcajhak djfkhb aiedjfhbk djhjkhjik hdjhjekheake cedefdkhb hbkfaifdadca ikhcihdcheic akhdahcad agbbgh "
    "iebehbegh agigfighf ehfghe hbgbagjce ghbjgbijbcgj cejafiagfghf fjcgfchfg agbghbjfd jfdihbiehegh jiahjaghajhd "
    "hdjehjghe ahbghaefdced ighbihicgdifidc idceicihdgiaigh hdchcg clg aielgc bfilgc bfafealgc ejggjl aigilgijl "
    "lgjgejbfi jlflafabflga jfdgcl djfaiegcl ibjbdjgcl gcledjeadabd lgdgfdgef lgddgfgafaif geidgibdigdl dlgadgbda "
    "kallac clelielki clalkafib lkbelbfeblec ejajkajlk jkijlk ibfkejlkjaek kbfjkflkj kalaclfdj djfcieclilki "
    "ackclkbjibdj ebdjedekblecelk efaflalkafdl ifdlidkil elkaekedlbeiebd kbdkdl hbkclg eaihbklgc fihikhclg "
    "lgckeakhehfe ejgjlgbkh khblaijligal jlelgeihfikh ajlgalafjhakahf khbjfdclg gcldjfeaihbk clgdkhdjkjik "
    "akekhehjejhdlgc khblfdlgfgef dlflgfgifigakhb dikhdkdeigdldge dlgadgdkhdak hblbclbac cleelilhihbi "
    "acichihficlh eclhelfeh bahajhjlhjae lhbilbjli ahfiafalhjaeajl lhflfj djfchbacblhc eciclilbiblhdjf "
    "haclhchiajhdhji eclheledjehd lefdlflaeblhlba ifdlidihbilh aeidlh lhd hld eaildh fibldh eafabfldh cejhld "
    "aicijchld bficejldh ldhjbfjcbcab hlfflj hlfljfaie hlbliblji abhjahljhaje celehlefh caihcifhilch lceleihlibhi "
    "bhlcblabc ldhagk iekegkdhl ibfldhgka hldgbfegfkbg jcekaghld ldhjgkijkcgj bfiagkcejldh fjbjcbckbkcgldh "
    "jflfhlagk hjfljhkiegke gkahibhlilji begkbgbjelbhblj gkahcefhelch cfhlchcifkcgcki bhihlileielcgka "
    "bhlcblbgkbcg bkddkl ldkdbkeai fidildikl fealfakladfl bkdkldejc jaicajdbkldk jcelfiklidfl fkldflfakcfjfca "
    "bkfkjfklj aiebjfbkjklj kjiljk jeakjaljk klblebefbelc fcaifaflckfbfkl lceilekli aklalc ldgdagdba egigdidbidgl "
    "gldgdfagfiaf gldfgdegf cejaldbadgla gijcgjgbidglgdb iafagfgdfdglcej fjcgfcfldfgl ljfalfbafgla "
    "bljfbjbglebibeg iagligjil jegjgl lbaglalfbelclef fbiglc iagligiceilc lcg dhcchg dhchgciea gchcdhibf "
    "hgdgcdfabfea dhjhejhge ijajhahgahjd fibedhgehjde jabfjbjgahjdjhg jfcfgcfhg eaigjfhgfcjg hgbgjbjibgcj "
    "jhgcjgjbhajejab hefhge gaifgihgf eibhebgeh gabgbh kahadhacd kihichcdhiec bfidkacdahkd kcdhkdkecfkbkfe "
    "dhjjhehkekae jdhkjhijk jdedhehaeahkbfi jdhkjhjbfjkb fhjhajacjahk ckiecichkfcjcfh hjibhihcjahkhac hkbecj "
    "hkaehafhe hkihif hkaehahibhei hkb gckcbkcdb eaigbkgcbcdb cdfkcfikfckg kfeakekdfckgkcd dbjbgjgejbkg "
    "gdbkgbgjdigagij dgejdedkgidfdik jdfkga gckkcbcjbjfb kgbgcbcfbfcjeai kgcjkcikj kgcjkckeakje fbkgfkefg "
    "fbkgfkfaifga eikekg gak adbacd biecbedbc dfiadicda dfedec aejdajbad jdbjbi aejdajafiadf jdf cjfbcfacb "
    "biecbebjfbcj cjicia cje aefafb fbi aei - "
)
_TRIANGLES = _TEXT.split()

_CORNERS = [(a, b, c) for a in (0, 1) for b in (0, 1) for c in (0, 1)]


def _middles() -> NDArray[np.float64]:
    """The middles of the twelve edges of a cell, in the order of their letters."""
    found = []
    for axis in range(3):
        for corner in _CORNERS:
            if corner[axis] == 0:
                middle = np.array(corner, dtype=np.float64)
                middle[axis] = 0.5
                found.append(middle)
    return np.stack(found)


def mesh_area_mm2(mask: Mask, geometry: Geometry) -> float:
    """Area in mm2 of the mesh of a mask (a, b, c) whose grid has the geometry's axes (IBSI C0JK)."""
    padded = np.pad(mask, 1).astype(np.uint8)
    kinds = np.zeros(tuple(n - 1 for n in padded.shape), dtype=np.uint8)
    for bit, corner in enumerate(_CORNERS):
        kinds |= padded[tuple(slice(at, n - 1 + at) for at, n in zip(corner, padded.shape, strict=True))] << bit
    counts = np.bincount(kinds.ravel(), minlength=256)
    points = _middles() @ geometry.affine_lps[:3, :3].T
    total = 0.0
    for kind in np.flatnonzero(counts):
        text = _TRIANGLES[kind].strip("-")
        if text:
            corners = points[[ord(letter) - ord("a") for letter in text]].reshape(-1, 3, 3)
            sides = corners[:, 1:] - corners[:, :1]
            total += float(counts[kind]) * float(np.linalg.norm(np.cross(sides[:, 0], sides[:, 1]), axis=1).sum()) / 2
    return total
