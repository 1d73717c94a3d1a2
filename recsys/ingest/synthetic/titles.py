"""Titles for movies that do not exist: plausible, in the key of their genre, all different.

A title is a pattern with its gaps filled from word lists, in MovieLens' own manner of writing: the article
behind a comma, the year in brackets. When words run out, movies get sequels.
"""

from collections.abc import Sequence

import numpy as np

_WORDS: dict[str, tuple[str, str, str]] = {
    # genre: (how it is, what it is about, where it is set)
    "Action": (
        "Reckless Loaded Midnight Iron Furious Final Burning Scarlet Hollow Rogue Double Blazing",
        "Detonator Getaway Bodyguard Convoy Ricochet Payload Overpass Stuntwoman Fuse Courier Vendetta Tailwind",
        "Harbour_Nine Rotterdam Macau Pier_17 the_Freight_Yard Marseille the_Ring_Road Valparaíso",
    ),
    "Adventure": (
        "Lost Uncharted Emerald Windward Forgotten Endless Sunken Restless Seventh Wandering Golden Farthest",
        "Compass Caravan Expedition Lantern Archipelago Mapmaker Monsoon Isthmus Balloonist Reef Sextant Voyage",
        "the_Amber_Coast Zanzibar the_Jade_Pass Patagonia the_Cinnamon_Isles Samarkand the_Upper_Nile Kamchatka",
    ),
    "Animation": (
        "Paper Tiny Marmalade Clockwork Whistling Curious Pocket Velvet Sleepy Upside-Down Feathered Brave",
        "Hedgehog Dumpling Teapot Puffin Cloud Snowglobe Robot Otter Pencil Umbrella Firefly Turnip",
        "Button_Town the_Cupboard Cloudberry_Hill the_Moon_Garden Puddle_Lane Snowdrop_Station Kite_Island Mossy_Wood",
    ),
    "Children": (
        "Little Muddy Runaway Secret Jolly Wobbly Magic Purple Hiccuping Giggling Lucky Patchwork",
        "Pony Treehouse Rowboat Dragonfly Wagon Bakery Kitten Snowman Parrot Scooter Lighthouse Summer_Camp",
        "Maple_Street Grandma's_Attic Pumpkin_Farm the_Duck_Pond Willow_School Blueberry_Beach the_Zoo Apple_Tree_Lane",
    ),
    "Comedy": (
        "Awkward Accidental Fairly_Good Unlicensed Borrowed Overdue Slightly_Used Mismatched Underpaid Honorary Lazy",
        "Wedding_Planner Landlord Roommate Dentist Karaoke_Night Flatmate Casserole Babysitter Divorce Umpire Intern",
        "Cleveland Aisle_Five the_Copy_Room Nana's_Condo Lost_and_Found Gate_B12 the_Bingo_Hall Apartment_4C",
    ),
    "Crime": (
        "Crooked Unmarked Silent Dirty Second-Hand Paid Marked Velvet Counterfeit Cold Quiet Honest",
        "Safecracker Alibi Pawnshop Ledger Informant Heist Verdict Bagman Forger Precinct Witness Racket",
        "Dockside Naples Eighth_Avenue the_Back_Room Belgrade Canal_Street Odessa the_Evidence_Locker",
    ),
    "Documentary": (
        "Unseen Vanishing Working Long Living Ordinary Last Hidden Handmade Untold Slow Open",
        "Beekeeper Glacier Typeface Bakery Lighthouse_Keeper Orchestra Marathon Mushroom Bridge Ferryman Archive Tide",
        "Iceland the_Aral_Sea Detroit the_Night_Market Lagos the_Factory_Floor the_Salt_Flats Ulaanbaatar",
    ),
    "Drama": (
        "Quiet Broken Late Unspoken Distant Fading Gentle Winter Bitter Patient Small Ordinary",
        "Harvest Daughter Letter Orchard Piano Inheritance Photograph Promise Homecoming Father River Season",
        "Alder_Creek Trieste the_House_by_the_Lake Saskatchewan Chamomile_Road Gdańsk the_Last_Ward Coimbra",
    ),
    "Fantasy": (
        "Enchanted Thorned Silver Moonlit Winged Crystal Sleeping Ashen Ninth Whispering Starlit Hollow",
        "Sorceress Griffin Spellbook Throne Cauldron Changeling Oracle Wyvern Amulet Enchantress Mirror Prophecy",
        "Eldermere the_Glass_Forest Thornwick the_Seven_Towers Ravenhold the_Dreaming_Vale Ysmere the_Salt_Throne",
    ),
    "Film-Noir": (
        "Crimson Smoky Doomed Rain-Soaked Faithless Black Lonesome Desperate Gilded Nameless Bitter Shadowed",
        "Blonde Nightclub Stairwell Cigarette Detective Alley Telegram Lipstick Payphone Witness Saxophone Corridor",
        "Bunker_Hill Pier_Street the_Blue_Parrot Union_Station Sepulveda the_Hotel_Mirador Fog_Street Chinatown_East",
    ),
    "Horror": (
        "Screaming Rotting Silent Cursed Hungry Buried Pale Weeping Nocturnal Blood-Red Crawling Nameless",
        "Cellar Doll Hollow Scarecrow Séance Attic Swarm Gravedigger Lullaby Parasite Mannequin Visitor",
        "Harrow_House Bleak_Hill the_Crawlspace Wormwood the_Drowned_Chapel Ward_13 Carrion_Lake the_Old_Cannery",
    ),
    "Musical": (
        "Dancing Syncopated Dazzling Singing Sequined Swinging Barefoot Broadway Jubilant Moonlight Tap-Dancing Merry",
        "Chorus_Girl Tango Songbird Encore Accordion Revue Serenade Maestro Footlight Cabaret Understudy Duet",
        "Buenos_Aires the_Starlight_Ballroom Tin_Pan_Alley Montmartre the_Orpheum Havana the_Bandstand Vienna",
    ),
    "Mystery": (
        "Missing Locked Thirteenth Anonymous Curious Vanished Painted Unopened Unsolved Reluctant Stolen Tangled",
        "Manuscript Guest Heirloom Cipher Inspector Clockmaker Portrait Envelope Librarian Keyhole Footprint Will",
        "Ashcombe_Manor the_Night_Train Room_209 the_Vicarage Lake_Como the_Reading_Room Penrose_Hall the_Observatory",
    ),
    "Romance": (
        "Tender Stolen Sudden Unexpected Second Summer Whispered Honeymoon Hopeless Written Lingering Sweet",
        "Kiss Valentine Florist Proposal Sweetheart Waltz Postcard Bouquet Tango Heart Café Love_Letter",
        "Lisbon Verona Rue_des_Lilas Brooklyn_Bridge the_Vineyard Notting_Hill_Gate Kyoto Santorini",
    ),
    "Sci-Fi": (
        "Orbital Synthetic Quantum Lunar Parallel Cryogenic Stellar Weightless Artificial Magnetic Remote Recursive",
        "Android Signal Colony Paradox Wormhole Satellite Terraformer Airlock Singularity Clone Beacon Starship",
        "Europa Station_Nine Proxima Sector_12 the_Kuiper_Belt New_Ganymede the_Dead_Sun Titan_Base",
    ),
    "Thriller": (
        "Vanishing Deadly Cold Encrypted Double Wrong Sleepless Hidden Dangerous Sealed Fatal Unknown",
        "Witness Passenger Hostage Frequency Blackout Conspiracy Stranger Motive Deadline Surveillance Escort Code",
        "Geneva Floor_33 the_Tunnel Sublevel_6 Reykjavík the_Border Checkpoint_Delta Flight_208",
    ),
    "War": (
        "Fallen Muddy Forgotten Frozen Distant Brave Last Shattered Unbroken Silent Northern Weary",
        "Battalion Trench Medic Airfield Telegraph Deserter Bugle Minefield Regiment Ceasefire Submarine Bridge",
        "Verdonne Hill_303 the_Eastern_Front Narvik_Sound the_Ardèche Tobruk_Road the_River_Line Cape_Sorrow",
    ),
    "Western": (
        "Dusty Lonesome Outlaw Crooked Sunburnt Wild Silver Rattlesnake Hard-Riding Forsaken Bounty One-Eyed",
        "Sheriff Stagecoach Canyon Gunslinger Saloon Homestead Rustler Spur Prairie Undertaker Mustang Marshal",
        "Tumbleweed Dry_Gulch Cactus_Wells the_Rio_Seco Copper_Ridge Abilene_Crossing Mesa_Negra Coffin_Bend",
    ),
}
_NAMES = (
    "Adela Ambrose Beatriz Bruno Celeste Clementine Dmitri Eleonora Esperanza Fitzgerald Giulia Gustav Hattie Henrik",
    "Ingrid Ivo Jolene Jasper Katarzyna Kofi Lorenzo Lucinda Magnus Marguerite Nadia Nikolai Ottilie Odysseus Paloma",
    "Percival Quentin Rosalind Rafael Sanjay Soledad Tallulah Thaddeus Ursula Valentina Viggo Winifred Yusuf Zelda",
)
_PATTERNS = (
    "{how} {what}, The", "{how} {what}, The", "{how} {what}, A", "{how} {what}", "{what} of {where}, The",
    "{what} in {where}, A", "{name} and the {how} {what}", "{how} {where}", "{name} of {where}", "Goodbye, {where}",
    "Last {what} in {where}, The", "{what}, The", "{name}'s {what}", "{how} and {how2}", "{what} and the {what2}, The",
    "{how} as a {what}", "Never Trust a {what}", "{name} & {name2}", "Night of the {how} {what}",
    "{name} Goes to {where}",
)  # fmt: skip
_NUMERALS = ("", " II", " III", " IV", " V", " VI", " VII", " VIII", " IX", " X")


def invent_titles(main_genres: Sequence[str], years: Sequence[int], rng: np.random.Generator) -> list[str]:
    """One title per movie, none twice, with the year in brackets.

    Args:
        main_genres: the genre that colours each title; an unknown one counts as Drama.
        years: the year of each movie.
        rng: decides everything else.
    """
    lists = {genre: tuple(map(_split, words)) for genre, words in _WORDS.items()}
    people = _split(" ".join(_NAMES))
    picks = rng.integers(0, 2**31, size=(len(years), 8)).tolist()
    n_parts: dict[str, int] = {}
    titles = [""] * len(years)
    for i in np.argsort(np.asarray(years), kind="stable").tolist():  # a sequel is younger than its original
        how, what, where = lists.get(main_genres[i], lists["Drama"])
        name = _fill(how, what, where, people, picks[i])
        n_parts[name] = n_parts.get(name, 0) + 1
        titles[i] = f"{_sequel(name, n_parts[name])} ({years[i]})"
    return titles


def _fill(how: list[str], what: list[str], where: list[str], people: list[str], pick: list[int]) -> str:
    name = _PATTERNS[pick[0] % len(_PATTERNS)].format(
        how=how[pick[1] % len(how)],
        how2=how[(pick[1] + 1 + pick[5] % (len(how) - 1)) % len(how)],
        what=what[pick[2] % len(what)],
        what2=what[(pick[2] + 1 + pick[6] % (len(what) - 1)) % len(what)],
        where=where[pick[3] % len(where)],
        name=people[pick[4] % len(people)],
        name2=people[(pick[4] + 1 + pick[7] % (len(people) - 1)) % len(people)],
    )
    return _article(name[0].upper() + name[1:])


def _article(name: str) -> str:
    """The indefinite article as it sounds before a vowel, at the end and within.

    >>> _article("Awkward Landlord, A"), _article("Quiet Orchard, A"), _article("Slow as a Archive")
    ('Awkward Landlord, An', 'Quiet Orchard, A', 'Slow as an Archive')
    """
    if name.endswith(", A") and name[0] in "AEIOU":
        name += "n"
    for vowel in "AEIOU":
        name = name.replace(f" a {vowel}", f" an {vowel}")
    return name


def _sequel(name: str, part: int) -> str:
    """The name of part n; the article stays last, as MovieLens writes it.

    >>> _sequel("Quiet Orchard, The", 1), _sequel("Quiet Orchard, The", 2), _sequel("Lisbon", 12)
    ('Quiet Orchard, The', 'Quiet Orchard II, The', 'Lisbon 12')
    """
    numeral = _NUMERALS[part - 1] if part <= len(_NUMERALS) else f" {part}"
    for article in (", The", ", An", ", A"):
        if name.endswith(article):
            return name.removesuffix(article) + numeral + article
    return name + numeral


def _split(words: str) -> list[str]:
    return [word.replace("_", " ") for word in words.split()]
